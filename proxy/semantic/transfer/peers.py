"""The two sides of a copy, as far as they answer requests."""

from __future__ import annotations

from typing import Any, Final, Protocol

import orjson

from proxy.ground.errors import StatusError
from proxy.ground.quoting import shortened
from proxy.xcontent.loading import load_json

_HINTS: Final = {
    401: "; name a user by --username",
    403: "; name a user by --username who may do so",
}


class Reply(Protocol):
    """An answer, read to its end."""

    @property
    def status(self) -> int: ...

    @property
    def body(self) -> bytes: ...


class Peer(Protocol):
    """An Elasticsearch, or a proxy before one."""

    @property
    def name(self) -> str:
        """How it is called in texts."""

    async def ask(self, method: str, target: str, body: bytes = b"") -> Reply:
        """The answer to JSON, or to lines of it for `_bulk`.

        Raises: UpstreamError when there is none, or one of too many bytes.
        """


class Refused(StatusError):
    """A peer has answered with an error."""


async def asked(peer: Peer, method: str, target: str, body: Any = None) -> bytes:
    """The body of a good answer. Raises: Refused with the peer's reason; UpstreamError."""
    data = b"" if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
    reply = await peer.ask(method, target, data)
    if reply.status < 300:
        return reply.body
    raise Refused(
        reply.status,
        f"{peer.name} answered {reply.status} to {method} {target.partition('?')[0]}: "
        f"{reason_in(reply.body)}{_HINTS.get(reply.status, '')}",
    )


async def document(peer: Peer, method: str, target: str, body: Any = None) -> Any:
    """The document of a good answer. Raises: as `asked`."""
    return load_json(await asked(peer, method, target, body) or b"null")


def reason_in(body: bytes) -> str:
    """Why something failed, from the body of an error."""
    try:
        found = load_json(body or b"null")
    except ValueError:
        return "no reason is given"
    error = found.get("error") if isinstance(found, dict) else None
    return reason_of(error)


def reason_of(error: Any) -> str:
    """Why something failed: the texts of an error and its causes."""
    reasons: list[str] = []
    while isinstance(error, dict):
        reason = error.get("reason")
        if isinstance(reason, str) and reason not in reasons:
            reasons.append(reason)
        error = error.get("caused_by")
    if isinstance(error, str):
        reasons.append(error)
    return shortened(": ".join(reasons)) or "no reason is given"
