"""How the official client speaks to every version of Elasticsearch."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Mapping
from typing import Any, Final

import orjson
from aiohttp import (
    ClientConnectorError,
    ClientResponse,
    ClientSession,
    DummyCookieJar,
)
from elastic_transport import (
    AiohttpHttpNode,
    AsyncTransport,
    ConnectionError,
    HttpHeaders,
    TransportApiResponse,
    TransportError,
)

from proxy.ground.sessions import HEAD_LIMITS, Connector

# It logs every request, and every failure, which the store reports itself.
logging.getLogger("elastic_transport").setLevel(logging.ERROR)

JSON: Final = "application/json"
# Bytes of an answer that are read. Who may write to the index could have written any number.
ANSWER_LIMIT: Final = 2 * 1024 * 1024
TOO_LARGE: Final = {"answer_too_large": True}  # no answer of Elasticsearch
LINES: Final = "application/x-ndjson"  # the media type of `_bulk` requests


class PlainTransport(AsyncTransport):
    """Asks for plain JSON, and ignores `Warning` headers.

    The client would ask for `compatible-with=9`, which older servers refuse, and turn each such
    header into a Python warning; 7.17 without security sends one with every answer.
    """

    async def perform_request(  # type: ignore[override]  # AsyncTransport has it, too, for its own parent
        self, method: str, target: str, *, headers: Mapping[str, str], **more: Any
    ) -> TransportApiResponse:
        plain = {
            name: _plain(value) if name.lower() in ("accept", "content-type") else value
            for name, value in headers.items()
        }
        answer = await self._answered(method, target, headers=plain, **more)
        kept = {
            name: value for name, value in answer.meta.headers.items() if name.lower() != "warning"
        }
        meta = dataclasses.replace(answer.meta, headers=HttpHeaders(kept))
        return TransportApiResponse(meta, answer.body)

    async def _answered(self, method: str, target: str, **more: Any) -> TransportApiResponse:
        """The answer of the first node that can be reached; the pool puts failed ones last."""
        is_read = method in ("GET", "HEAD") or target.partition("?")[0].endswith("/_search")
        for left in reversed(range(len(self.node_pool))):
            try:
                return await super().perform_request(method, target, **more)
            except ConnectionError as error:
                if not left or not (is_read or _was_never_sent(error)):
                    raise
        raise AssertionError("a client has at least one node")


class _LimitedResponse(ClientResponse):
    """Answers with TOO_LARGE in place of a body beyond ANSWER_LIMIT, which is not read."""

    async def read(self) -> bytes:
        body = bytearray()
        async for piece in self.content.iter_any():
            body += piece
            if len(body) > ANSWER_LIMIT:
                self.close()
                return orjson.dumps(TOO_LARGE)
        return bytes(body)


class LimitedNode(AiohttpHttpNode):
    """Its session has the limits of all others: a deprecated setting costs a header per answer."""

    def _create_aiohttp_session(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.session = ClientSession(
            headers=self.headers,
            skip_auto_headers=("accept", "accept-encoding", "user-agent"),
            cookie_jar=DummyCookieJar(),
            response_class=_LimitedResponse,
            connector=Connector(
                limit_per_host=self.config.connections_per_node, ssl=self.config.ssl_context or True
            ),
            **HEAD_LIMITS,
        )


def cause_of(error: TransportError) -> BaseException | None:
    """What the client has made of aiohttp's error: its own attribute for it is empty in the end."""
    return error.__context__


def _was_never_sent(error: ConnectionError) -> bool:
    return isinstance(cause_of(error), ClientConnectorError)


def _plain(media_type: str) -> str:
    return LINES if "x-ndjson" in media_type else JSON
