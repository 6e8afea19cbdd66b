"""The application's own way upstream: requests handed on with aiohttp's client.

Nothing is held, re-quoted or invented: the raw target, the caller's end-to-end headers, the body as
it comes; and back the upstream's status, headers and bytes. The rules are those of `proxy.http1`.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import zlib
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

import orjson
from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    TCPConnector,
    hdrs,
    web,
)
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from proxy.config import UpstreamConfig
from proxy.errors import (
    IllegalArgument,
    NoInferenceFeature,
    ProxyError,
    StatusError,
    UpstreamBroken,
    UpstreamError,
    UpstreamTimedOut,
    UpstreamUnavailable,
)
from proxy.http1 import CONTINUE, HOP_BY_HOP, Forwarding, Headers, RequestHead, request_head
from proxy.http1.bodies import pieces
from proxy.interception import is_inference
from proxy.upstream.nodes import Node, Nodes
from proxy.upstream.session import UpstreamResponse, ask
from proxy.upstream.tls import upstream_tls

PIECE: Final = 65536  # bytes read at once
HEAD_LIMIT: Final = 65536  # bytes of a header
HEADERS_LIMIT: Final = 4096  # Elasticsearch sends a Warning header per deprecation
REFUSAL_LIMIT: Final = 65536  # bytes of an answer that are looked into
FETCH_LIMIT: Final = 32 * 1024 * 1024  # bytes of an answer that is fetched

# The names of the headers that the upstream sent, on a request that was handed on.
FROM_UPSTREAM: Final = web.RequestKey("from_upstream", frozenset[str])
# Set on a request that must not be passed on.
REFUSED: Final = web.RequestKey("refused", bool)
_ADDED_BY_AIOHTTP: Final = (hdrs.SERVER, hdrs.DATE, hdrs.CONTENT_TYPE)
# What belongs to a body that is not sent, or to an encoding that could not be read.
_NOT_FETCHED: Final = frozenset(
    (
        b"accept-encoding",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"expect",
        b"if-match",
        b"if-none-match",
        b"range",
    )
)


def head_of(request: web.Request) -> RequestHead:
    """The head of a request, judged by the rules of the lane.

    Raises: ProxyError for a request that must not be passed on; its connection has to be closed.
    """
    version = f"HTTP/{request.version.major}.{request.version.minor}".encode()
    for _, value in request.raw_headers:
        try:
            value.decode()
        except UnicodeDecodeError:
            raise IllegalArgument("invalid HTTP request: a header is not UTF-8") from None
    headers = list(request.raw_headers)
    return request_head(request.method.encode(), raw_target(request), version, headers)


def raw_target(request: web.Request) -> bytes:
    """The target as it was sent: what routing has to be decided on."""
    return request.raw_path.encode("utf-8", "surrogateescape")


async def expect_continue(request: web.Request) -> None:
    """An `expect_handler`: ask for the body of a request that is ours, and of no other.

    Others get the upstream's own 100, or its refusal before the body is sent.
    """
    if is_inference(raw_target(request)):
        await request.writer.write(CONTINUE)
        request.writer.output_size = 0  # as aiohttp's own handler does: the answer has not begun


async def strip_additions(request: web.Request, response: web.StreamResponse) -> None:
    """An `on_response_prepare` signal: take back the headers that aiohttp adds."""
    sent = request.get(FROM_UPSTREAM)
    for name in _ADDED_BY_AIOHTTP:
        if sent is not None:
            if name.lower() not in sent:
                response.headers.popall(name, None)
        elif name != hdrs.CONTENT_TYPE:
            response.headers.popall(name, None)


async def close_when_unclear(request: web.Request, response: web.StreamResponse) -> None:
    """An `on_response_prepare` signal: no request follows a refused one on its connection.

    Nor a chunked one: aiohttp's parser takes the trailers of a body for headers of what follows.
    """
    if request.get(REFUSED) or hdrs.TRANSFER_ENCODING in request.headers:
        response.force_close()
        response.headers[hdrs.CONNECTION] = "close"


def forwarding(upstream: UpstreamConfig) -> Forwarding:
    """What the upstream is told of a request's way."""
    host = None if upstream.host is None else upstream.host.encode()
    return Forwarding(host=host, x_forwarded=upstream.x_forwarded)


class Forwarder:
    """Hands requests on to the upstream, and its answers back."""

    def __init__(
        self,
        upstream: UpstreamConfig,
        nodes: Nodes | None = None,
        *,
        body_timeout: float = 60.0,
    ) -> None:
        """`body_timeout`: seconds for the next bytes of a request's body."""
        self._nodes = Nodes(*upstream.urls) if nodes is None else nodes
        if not self._nodes:
            raise ValueError("no upstream is configured")
        self._name = f"upstream [{', '.join(node.name for node in self._nodes)}]"
        self._forwarding = forwarding(upstream)
        self._upstream = upstream
        self._body_timeout = body_timeout
        self._session: ClientSession | None = None

    async def open(self) -> None:
        self._session = ClientSession(
            connector=TCPConnector(limit=0, ssl=upstream_tls(self._upstream) or True),
            timeout=ClientTimeout(
                total=None,
                sock_connect=self._upstream.connect_timeout,
                sock_read=self._upstream.response_timeout or None,
            ),
            cookie_jar=DummyCookieJar(),  # one caller's cookie is not another's
            auto_decompress=False,
            response_class=UpstreamResponse,
            trust_env=False,
            read_bufsize=PIECE,
            max_line_size=HEAD_LIMIT,
            max_field_size=HEAD_LIMIT,
            max_headers=HEADERS_LIMIT,
            skip_auto_headers=(
                hdrs.ACCEPT,
                hdrs.ACCEPT_ENCODING,
                hdrs.CONTENT_TYPE,
                hdrs.USER_AGENT,
            ),
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def hand_on(self, request: web.Request) -> web.StreamResponse:
        """Send a request upstream, and stream the answer back.

        Raises: ProxyError, before the first byte of the answer.
        """
        answer = await self._send(request)
        try:
            return await self._pass_back(request, answer, b"")
        finally:
            _end(answer)

    async def hand_on_inference(
        self, request: web.Request, body: bytes | None = None
    ) -> web.StreamResponse:
        """As `hand_on`, for a request that proved not to be ours; `body`, if it has been read.

        Raises: NoInferenceFeature when the upstream has no inference plugin; else as `hand_on`.
        """
        answer = await self._send(request, body)
        try:
            start = b""
            if answer.status in (400, 404, 405):
                start = await self._read(answer, REFUSAL_LIMIT)
                if lacks_inference(start, answer.headers.get(hdrs.CONTENT_ENCODING)):
                    raise NoInferenceFeature
            return await self._pass_back(request, answer, start)
        finally:
            _end(answer)

    async def fetch(
        self, request: web.Request, target: str
    ) -> tuple[int, CIMultiDictProxy[str], bytes]:
        """GET `target` as the caller of `request`: status, headers, and the body in plain.

        Raises: ProxyError, also for an answer of more than FETCH_LIMIT bytes.
        """
        head = head_of(request)
        headers = _joined(pair for pair in head.headers if pair[0].lower() not in _NOT_FETCHED)
        if "json" not in headers.get(hdrs.ACCEPT, "json"):
            headers.popall(hdrs.ACCEPT)  # it is read here, whatever the caller gets
        try:
            answer, body = await self._fetch(target, headers)
        except UpstreamBroken:
            answer, body = await self._fetch(target, headers)  # its node may have died meanwhile
        if len(body) > FETCH_LIMIT:
            raise UpstreamBroken(f"{self._name} answered with too many bytes")
        return answer.status, answer.headers, body

    async def _fetch(self, target: str, headers: CIMultiDict[str]) -> tuple[ClientResponse, bytes]:
        answer = await self._request(hdrs.METH_GET, target, headers, lambda: None, repeatable=True)
        try:
            return answer, await self._read(answer, FETCH_LIMIT + 1)
        finally:
            _end(answer)

    async def _send(self, request: web.Request, body: bytes | None = None) -> ClientResponse:
        head = head_of(request)
        headers = _joined(self._rewritten(request, head))
        if request.content.is_eof() or is_inference(head.target):
            headers.popall(hdrs.EXPECT, None)  # the body is here, or has been asked for
        if body is None and request.content.is_eof():
            body = await request.read()
        target = request.raw_path
        if body is not None:
            return await self._request(
                request.method,
                target,
                headers,
                lambda: pieces(body, PIECE) if body else None,
                repeatable=head.repeatable,
            )
        upload = _Upload(request, self._body_timeout, expects=hdrs.EXPECT in headers)
        try:
            return await self._request(
                request.method, target, headers, upload.pieces, repeatable=False
            )
        except UpstreamError:
            if upload.error is not None:
                raise upload.error from None
            raise

    def _rewritten(self, request: web.Request, head: RequestHead) -> Headers:
        peer = request.transport and request.transport.get_extra_info("peername")
        if not peer or self._forwarding.changes_nothing:
            return head.headers  # the lane has seen to it: from there come pairs of sockets
        scheme = b"https" if request.secure else b"http"
        return self._forwarding.applied(head.headers, peer=peer[0], scheme=scheme)

    async def _request(
        self,
        method: str,
        target: str,
        headers: CIMultiDict[str],
        data: Callable[[], AsyncIterator[bytes] | None],
        *,
        repeatable: bool,
    ) -> ClientResponse:
        assert self._session is not None, "the forwarder is not open"
        session = self._session

        async def send(node: Node) -> ClientResponse:
            return await session.request(
                method,
                URL(node.name + target, encoded=True),
                headers=headers,
                data=data(),
                allow_redirects=False,
            )

        # None of these errors is kept as a cause: their texts hold addresses or headers.
        try:
            return await ask(self._nodes, send, repeatable=repeatable)
        except ConnectionTimeoutError:
            raise UpstreamTimedOut(f"{self._name} did not accept a connection in time") from None
        except TimeoutError:
            raise UpstreamTimedOut(f"{self._name} did not answer in time") from None
        except ClientConnectorError:
            raise UpstreamUnavailable(f"{self._name} cannot be reached") from None
        except ClientError:
            raise UpstreamBroken(f"{self._name} did not answer properly") from None

    async def _read(self, answer: ClientResponse, limit: int) -> bytes:
        """The first `limit` bytes of the body, or all of them."""
        body = bytearray()
        try:
            while len(body) < limit and not answer.content.at_eof():
                body += await answer.content.read(limit - len(body))
        except ClientError:
            raise UpstreamBroken(f"{self._name} broke off its answer") from None
        return bytes(body)

    async def _pass_back(
        self, request: web.Request, answer: ClientResponse, start: bytes
    ) -> web.StreamResponse:
        headers = CIMultiDict[str]()
        for name, value in answer.raw_headers:
            if name.lower() not in HOP_BY_HOP:
                headers.add(_text(name), _text(value))
        request[FROM_UPSTREAM] = frozenset(name.lower() for name in headers)
        response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
        await response.prepare(request)
        if start:
            await response.write(start)
        while True:
            try:
                piece = await answer.content.readany()
            except ClientError:
                # Its end must not look like an end.
                _cut(request)
                return response
            if not piece:
                break
            await response.write(piece)
        await response.write_eof()
        return response


class _Upload:
    """A request's body on its way upstream."""

    def __init__(self, request: web.Request, timeout: float, *, expects: bool) -> None:
        self._request = request
        self._timeout = timeout
        self._expects = expects
        self.error: ProxyError | None = None  # why it broke off, if the caller has to be told

    async def pieces(self) -> AsyncIterator[bytes]:
        request = self._request
        if self._expects and request.transport is not None:
            # The client asks for the first piece when the upstream has said 100.
            request.transport.write(CONTINUE)
        # Be it empty: the client sends the head with the first piece, and none before.
        yield request.content.read_nowait()
        while True:
            try:
                async with asyncio.timeout(self._timeout):
                    piece = await request.content.readany()
            except TimeoutError:
                self.error = StatusError(408, "the request's body did not come in time")
                raise
            if not piece:
                return
            yield piece


def lacks_inference(body: bytes, coding: str | None) -> bool:
    """Whether an error is what Elasticsearch without the inference plugin says to `_inference`.

    Source: RestController.handleBadRequest, handleUnsupportedHttpMethod; an Elasticsearch without
    the plugin takes the path for an index name where it has a route for one.
    """
    if coding == "gzip":
        try:
            body = zlib.decompressobj(47).decompress(body, REFUSAL_LIMIT)
        except zlib.error:
            return False
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        # YAML, CBOR and Smile hold texts as they are.
        return b"no handler found for uri [/_inference" in body
    error = document.get("error") if isinstance(document, dict) else None
    if isinstance(error, str):
        return error.startswith(("no handler found for uri [", "Incorrect HTTP method for uri ["))
    return (
        isinstance(error, dict)
        and error.get("type") in ("invalid_index_name_exception", "index_not_found_exception")
        and error.get("index") == "_inference"
    )


def _joined(pairs: Iterable[tuple[bytes, bytes]]) -> CIMultiDict[str]:
    """Headers for the client, which keeps duplicates only when they are spelled alike."""
    spelling: dict[bytes, str] = {}
    headers = CIMultiDict[str]()
    for name, value in pairs:
        headers.add(spelling.setdefault(name.lower(), _text(name)), _text(value))
    return headers


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _end(answer: ClientResponse) -> None:
    """Give the connection back if the answer is at its end, and close it if it is not."""
    if answer.content.is_eof():
        answer.release()
    else:
        answer.close()


def _cut(request: web.Request) -> None:
    """Abort the caller's connection, with a reset where it is TCP."""
    transport = request.transport
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
