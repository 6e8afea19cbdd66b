"""The one aiohttp session in which the application speaks to the upstream for its callers.

It has no credentials, so that an anonymous caller cannot borrow the proxy's own, and keeps no
cookies, so that no caller gets another's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeGuard

from aiohttp import (
    ClientConnectionError,
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    hdrs,
)
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from proxy.config import UpstreamConfig
from proxy.ground.errors import UpstreamBroken, UpstreamError, UpstreamTimedOut
from proxy.ground.exchanges import Answer as Exchanged
from proxy.ground.exchanges import SharedRequest, exchange
from proxy.ground.frames import forget_frames
from proxy.ground.sessions import HEAD_LIMITS, Connector, Response, on_live_connection
from proxy.ground.tlsfailures import tls_problem
from proxy.http1 import GIVEN_UP, encoded_head
from proxy.upstream.certificateuser import VettingConnector
from proxy.upstream.nodes import LATE, UNAVAILABLE, Node, Nodes
from proxy.upstream.tls import upstream_tls

if TYPE_CHECKING:
    from aiohttp.connector import Connection

PIECE: Final = 65536  # bytes written at once
_BUFFER: Final = 4096  # bytes; aiohttp reads a sixteenth as many small chunks of an answer at once

# Methods of requests that tell the length of their body only if they have one.
_BODILESS: Final = frozenset((hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS, hdrs.METH_TRACE))

Content = bytes | AsyncIterator[bytes] | None
UpstreamResponse = ClientResponse | Exchanged


def _nothing() -> Content:
    return None


# Not frozen, as that costs a microsecond for each.
@dataclass(slots=True, kw_only=True)
class Question:
    """A request that any node of the upstream can answer."""

    method: str
    target: str  # path and query, sent as they are
    headers: CIMultiDict[str]  # where Host or framing are missing, they are added
    body: Callable[[], Content] = _nothing  # called for each node that is asked
    # Seconds that a node has for its whole answer; without it, `upstream.response_timeout` limits
    # the time between two pieces of it.
    time_limit: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer that was read to its end."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes | None  # None when it is larger than was allowed


class UpstreamSession:
    """Asks the nodes of the upstream. Made by `open_session`."""

    def __init__(self, client: ClientSession, upstream: UpstreamConfig, nodes: Nodes) -> None:
        self.nodes = nodes
        self.answer_size = upstream.answer_size  # bytes of an answer that is read as a whole
        self._client = client
        self._requests: dict[str, SharedRequest] = {}  # what those to a node have in common
        self._connect_timeout = upstream.connect_timeout
        self._streaming = self._timeout(sock_read=upstream.response_timeout or None)

    def _timeout(
        self, *, total: float | None = None, sock_read: float | None = None
    ) -> ClientTimeout:
        return ClientTimeout(total=total, sock_connect=self._connect_timeout, sock_read=sock_read)

    def ask(self, question: Question, *, repeatable: bool) -> _Asking:
        """An answer whose body is still to be read; 502, 503 or 504 only if no node does better.

        repeatable: whether another node may be asked although this one may have run the request.
        Entering raises: UpstreamError when no node answers.
        """
        return _Asking(self._first_answer(question, repeatable))

    async def fetch(self, question: Question, limit: int) -> Answer:
        """An answer read to its end, unless its body is larger than `limit` bytes.

        Only for questions that do no harm when asked twice, as this one is asked again if its node
        dies amid the answer.
        Raises: UpstreamError when no node answers in full.
        """
        try:
            return await self._fetch(question, limit)
        except _BrokenOff:
            return await self._fetch(question, limit)

    async def _fetch(self, question: Question, limit: int) -> Answer:
        async with self.ask(question, repeatable=True) as answer:
            body = await self.read(answer, limit + 1)
            return Answer(
                status=answer.status,
                headers=answer.headers,
                body=body if len(body) <= limit else None,
            )

    async def read(self, answer: UpstreamResponse, limit: int) -> bytes:
        """The first `limit` bytes of the body, or all of them. Raises: UpstreamError."""
        body = bytearray()
        try:
            while len(body) < limit and not answer.content.at_eof():
                piece = await answer.content.read(limit - len(body))
                if not body and answer.content.at_eof():
                    return piece  # as most come
                body += piece
                await asyncio.sleep(0)  # many small chunks would be read in one go
        except ClientError:  # among them the one for `upstream.response_timeout`
            raise _BrokenOff("upstream node broke off its answer") from None
        except TimeoutError:
            raise UpstreamTimedOut("upstream node did not answer in time") from None
        return bytes(body)

    async def _first_answer(self, question: Question, repeatable: bool) -> UpstreamResponse:
        """The answer of the first node that gives a good one, or else of the last.

        If no connection can be made, nothing was sent, so the next node is asked. After a broken
        connection or a bad answer it is asked only if the request is `repeatable`.
        Raises: UpstreamError, of the last node.
        """
        # None of aiohttp's errors is kept as a cause: their texts hold addresses or headers.
        left = self.nodes.in_turn()
        while True:
            node = left.pop(0)
            try:
                answer = await self._send(question, node, repeatable)
            except ConnectionTimeoutError as error:
                forget_frames(error)
                node.was_unreachable("timed out")
                if not left:
                    raise UpstreamTimedOut(
                        f"{node.shown} did not accept a connection in time"
                    ) from None
                continue
            except ClientConnectorError as error:
                if not left:
                    raise _unreachable(node, error) from None
                _unreachable(node, error)
                continue
            except (ClientError, TimeoutError) as error:
                is_over = isinstance(error, TimeoutError) or not isinstance(
                    error, ClientConnectionError
                )
                if is_over or not left or not repeatable:
                    raise await _unanswered(node, error) from None
                continue
            node.probe.rule_out()
            if answer.status not in UNAVAILABLE:
                node.did_well()
                return answer
            if len(self.nodes) > 1:
                node.did_badly(answer.status)
            if not repeatable or not any(other.live for other in left):
                return answer
            answer.close()

    async def _send(self, question: Question, node: Node, repeatable: bool) -> UpstreamResponse:
        timeout = self._streaming
        if question.time_limit is not None:
            timeout = self._timeout(total=question.time_limit)

        async def send() -> UpstreamResponse:
            body = question.body()
            if question.time_limit is None and _is_at_hand(body):
                return await self._exchanged(question, node, body or b"")
            return await self._client.request(
                question.method,
                URL(node.name + question.target, encoded=True),
                headers=question.headers,
                data=body,
                allow_redirects=False,
                timeout=timeout,
            )

        return await (on_live_connection(send) if repeatable else send())

    async def _exchanged(self, question: Question, node: Node, body: bytes) -> Exchanged:
        """The answer to a question whose body is at hand."""
        connector = self._client.connector
        assert isinstance(connector, Connector)
        request = self._requests.get(node.name)
        if request is None:
            loop = asyncio.get_running_loop()
            request = self._requests[node.name] = SharedRequest("GET", URL(node.name), loop=loop)
        headers = list(question.headers.items())
        if hdrs.HOST not in question.headers:
            headers.insert(0, (hdrs.HOST, request.headers[hdrs.HOST]))
        if hdrs.CONTENT_LENGTH not in question.headers and (
            body or question.method not in _BODILESS
        ):
            headers.append((hdrs.CONTENT_LENGTH, str(len(body))))
        return await exchange(
            connector,
            request,
            encoded_head(f"{question.method} {question.target} HTTP/1.1", headers),
            body,
            self._streaming,
            has_body=question.method != hdrs.METH_HEAD,
            auto_decompress=False,
            read_bufsize=_BUFFER,
            last=GIVEN_UP,
        )


class _Asking:
    """The context in which an answer is read; what is not read of it by its end is not wanted."""

    def __init__(self, answer: Awaitable[UpstreamResponse]) -> None:
        self._coming = answer

    async def __aenter__(self) -> UpstreamResponse:
        self._answer = await self._coming
        return self._answer

    async def __aexit__(self, *_: object) -> None:
        if self._answer.content.is_eof():
            self._answer.release()
        else:
            self._answer.close()


def _is_at_hand(body: Content) -> TypeGuard[bytes | None]:
    """Whether a body is sent in one go; the time that a longer one takes is not the answer's."""
    return body is None or (isinstance(body, bytes) and len(body) <= PIECE)


class _BrokenOff(UpstreamBroken):
    """An answer that has begun does not go on."""


def _unreachable(node: Node, error: ClientConnectorError) -> UpstreamError:
    """The error for a request to which no connection could be made."""
    made = node.unreachable(error)
    forget_frames(error)  # those of all attempts, which hold the request
    return made


async def _unanswered(node: Node, error: Exception) -> UpstreamError:
    """The error for a request that a node took and did not answer."""
    if isinstance(error, TimeoutError):
        node.report(LATE)
        return UpstreamTimedOut(f"{node.shown} {LATE}")
    why = tls_problem(error)
    forget_frames(error)
    broken = await node.unanswered(f"did not answer properly{f': {why}' if why else ''}")
    broken.why = broken.why or why
    return broken


@asynccontextmanager
async def open_session(upstream: UpstreamConfig, nodes: Nodes) -> AsyncIterator[UpstreamSession]:
    """Raises: ConfigError for a certificate or CA file that cannot be used."""
    async with ClientSession(
        connector=VettingConnector(nodes, limit=0, ssl=upstream_tls(upstream) or True),
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        response_class=_Response,
        trust_env=False,
        read_bufsize=_BUFFER,
        skip_auto_headers=(hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE, hdrs.USER_AGENT),
        **HEAD_LIMITS,
    ) as client:
        yield UpstreamSession(client, upstream, nodes)


class _Response(Response):
    """A response whose connection is not used again if its status is one of `http1.GIVEN_UP`."""

    async def start(self, connection: Connection) -> ClientResponse:
        protocol = connection.protocol
        await super().start(connection)
        if self.status in GIVEN_UP and protocol is not None:
            protocol.force_close()
            if self.content.is_eof():
                protocol.close()  # the answer is complete, and its connection already in the pool
        return self
