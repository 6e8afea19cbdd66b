"""An Elasticsearch, or a proxy before one, as a command speaks to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from aiohttp import hdrs
from multidict import CIMultiDict

from proxy.config import Config, UpstreamConfig, is_any, split_address
from proxy.ground.errors import UpstreamBroken, UpstreamError
from proxy.upstream.nodes import Nodes
from proxy.upstream.session import Question, UpstreamSession, open_session
from proxy.upstream.version import own_credentials

_LARGEST: Final = 64 * 1024 * 1024  # bytes of an answer
_JSON: Final = "application/json"
_NDJSON: Final = "application/x-ndjson"
_SHOWN: Final = "upstream node "  # what sessions call whatever they speak to
# Requests that may be sent again although an earlier one may have been run.
_REPEATABLE: Final = ("_count", "_mget", "_refresh", "_search")


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes


class HttpPeer:
    """Speaks with the credentials of a configuration."""

    def __init__(self, session: UpstreamSession, upstream: UpstreamConfig) -> None:
        self.name = upstream.urls[0].rstrip("/")
        self._session = session
        self._headers = CIMultiDict({hdrs.ACCEPT: _JSON})
        if upstream.host is not None:
            self._headers[hdrs.HOST] = upstream.host
        if (credentials := own_credentials(upstream)) is not None:
            self._headers[hdrs.AUTHORIZATION] = credentials

    async def ask(self, method: str, target: str, body: bytes = b"") -> Reply:
        """The answer to JSON, or to lines of it for `_bulk`.

        Raises: UpstreamError when there is none, or one of too many bytes.
        """
        segments = target.partition("?")[0].split("/")
        headers = self._headers.copy()
        if body:
            headers[hdrs.CONTENT_TYPE] = _NDJSON if "_bulk" in segments else _JSON
        question = Question(
            method=method, target=target, headers=headers, body=lambda: body or None
        )
        repeatable = method == hdrs.METH_GET or segments[-1] in _REPEATABLE
        try:
            async with self._session.ask(question, repeatable=repeatable) as answer:
                data = await self._session.read(answer, _LARGEST + 1)
        except UpstreamError as error:
            raise type(error)(f"{self.name} {error.reason.removeprefix(_SHOWN)}") from None
        if len(data) > _LARGEST:
            raise UpstreamBroken(f"{self.name} answered with too many bytes")
        return Reply(answer.status, data)


@asynccontextmanager
async def opened(upstream: UpstreamConfig) -> AsyncIterator[HttpPeer]:
    """Raises: ConfigError for files that cannot be used."""
    async with open_session(upstream, Nodes(*upstream.urls)) as session:
        yield HttpPeer(session, upstream)


def the_proxy(config: Config, url: str | None) -> UpstreamConfig:
    """How the proxy of a configuration is reached, at `url` unless that is None.

    Its own certificate is trusted, whoever has signed it.
    """
    if url is None:
        host, port = split_address(config.listen)
        host = "localhost" if is_any(host) else host
        scheme = "http" if config.tls.certificate is None else "https"
        url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    return replace(
        config.upstream,
        url=url,
        host=None,
        ca_file=config.tls.certificate,
        certificate=None,
        key=None,
        fingerprint=None,
    )
