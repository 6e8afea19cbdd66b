"""One request that the semantic layer looks at, and the ways to answer it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.errors import MediaTypeRejected
from proxy.limits.threads import offload
from proxy.rest.body import Body
from proxy.rest.mediatypes import media_type
from proxy.rest.request import RestRequest
from proxy.rest.responder import Responder, RestResponse
from proxy.semantic.guarding import Guard
from proxy.semantic.ports import Endpoints, Upstream, UpstreamAnswer
from proxy.semantic.registry import Registry
from proxy.xcontent.document import Bounds

AT_ONCE: Final = 65536  # bytes of a document that are read or written on the event loop

_SOURCE: Final = Bounds(nesting=100, values=10_000)  # of a body in the URL

ReadPieces = Callable[[web.Request, RestRequest], AsyncIterator[bytes]]
ReadBody = Callable[[web.Request, RestRequest], Awaitable[Body]]

# Parameters that shape an answer; those of a patched answer are applied to what was patched.
_OF_FORM: Final = frozenset(("filter_path", "pretty", "human", "format"))
# Headers of an upstream's answer that a patched one keeps.
_KEPT: Final = ("Warning",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What every handler works with."""

    upstream: Upstream
    endpoints: Endpoints
    registry: Registry
    guard: Guard
    read_body: ReadBody
    read_pieces: ReadPieces
    default_id: str | None  # the endpoint of fields that name none


@dataclass(slots=True, kw_only=True)
class Exchange:
    """A request with what its path says, and its body once that has been read."""

    request: web.Request
    rest: RestRequest
    responder: Responder
    names: Mapping[str, str]  # the parameters of its path, decoded
    parts: Parts
    changes: bool = False  # whether it may change which names lead to semantic fields
    body: Body | None = None
    has_body_in_url: bool = False

    def take_source(self) -> None:
        """Take a body in the URL for the body, if there is no other. Source: RestRequest."""
        parameters = dict(self.rest.parameters)
        if self.request.body_exists or not {"source", "source_content_type"} <= parameters.keys():
            return
        data = parameters.pop("source").encode()
        sent = CIMultiDictProxy(
            CIMultiDict({"Content-Type": parameters.pop("source_content_type")})
        )
        with suppress(MediaTypeRejected):  # the upstream says so
            kind = media_type(sent, "Content-Type")
            self.rest = replace(self.rest, parameters=parameters, content_type=kind)
            self.body = Body(self.rest, b"", data, _SOURCE)
            self.has_body_in_url = True

    async def read(self) -> bytes:
        """The body, decoded. Raises: ProxyError where it is too large, or cannot be had."""
        if self.body is None:
            self.body = await self.parts.read_body(self.request, self.rest)
        return self.body.data

    async def document(self) -> Any:
        """The body as dicts, lists and scalars; None for one that has a syntax error."""
        data = await self.read()
        if not data or self.body is None:
            return None
        body = self.body
        found = await offload(len(data), AT_ONCE, body.document)
        return None if found.error is not None or found.root is None else found.root.plain()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body piece by piece, decoded. Raises: as `read`."""
        async for piece in self.parts.read_pieces(self.request, self.rest):
            yield piece

    async def hand_on(self) -> web.StreamResponse:
        """The upstream's answer to the request as it came."""
        raw = None if self.body is None or self.has_body_in_url else self.body.raw
        answered = self.parts.registry.changed if self.changes else None
        return await self.parts.upstream.hand_on(self.request, raw, answered)

    async def hand_on_as(self, *, target: str, body: bytes | None = None) -> web.StreamResponse:
        """The upstream's answer to the request with another target, and perhaps another body."""
        raw = None if self.body is None else self.body.data
        return await self.parts.upstream.hand_on_as(
            self.request, target, raw if body is None else body
        )

    async def as_is(self, answer: UpstreamAnswer) -> web.Response:
        """The upstream's answer as it came; decoded anew only where the caller wants a form."""
        if _OF_FORM.isdisjoint(self.rest.parameters) and self.responder.format == "json":
            headers = CIMultiDict(self.responder.document(answer.status, {}).headers)
            headers.popall("content-encoding", None)
            return _response(RestResponse(answer.status, headers, answer.body), answer.headers)
        return await self.patched(answer, lambda document: document)

    async def ask(self, body: Any = None, *, target: str | None = None) -> UpstreamAnswer:
        """The upstream's answer to the caller's request with another body, or another target."""
        data = b"" if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
        return await self.parts.upstream.ask_as_caller(
            self.request, self.rest.method, target or self.unshaped_target(), data
        )

    def unshaped_target(self, **more: str) -> str:
        """The request's target without what shapes its answer, and with `more` parameters."""
        kept = {name: value for name, value in self.rest.parameters.items() if name not in _OF_FORM}
        query = urlencode({**kept, **more})
        return self.rest.path + (f"?{query}" if query else "")

    async def made(self, status: int, document: Any) -> web.Response:
        """An answer of our own making, in the form that the caller wants."""
        return _response(self.responder.document(status, document), {})

    async def answer(self, answer: UpstreamAnswer, document: Any) -> web.Response:
        """`document` in the form that the caller wants, with what is left of the upstream's."""
        size = len(answer.body)
        made = await offload(
            size, AT_ONCE, lambda: self.responder.document(answer.status, document)
        )
        return _response(made, answer.headers)

    async def patched(self, answer: UpstreamAnswer, patch: Callable[[Any], Any]) -> web.Response:
        """The upstream's answer, with its document as `patch` returns it."""
        document = await offload(
            len(answer.body), AT_ONCE, lambda: patch(orjson.loads(answer.body or b"null"))
        )
        return await self.answer(answer, document)


def _response(made: RestResponse, upstream: Mapping[str, str]) -> web.Response:
    headers = CIMultiDict(made.headers)
    for name in _KEPT:
        if name in upstream:
            headers[name] = upstream[name]
    return web.Response(status=made.status, headers=headers, body=made.body)
