"""The application's own way upstream, for requests that it does not answer itself.

Nothing is held back, re-quoted or invented: the upstream gets the raw target, the caller's
end-to-end headers and the body as it comes; the caller gets the upstream's status, headers and
bytes. Which requests may be passed on, and how, `proxy.http1` decides, as it does for the lane.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, Protocol

from aiohttp import ClientError, ClientResponse, hdrs, web
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.config import UpstreamConfig
from proxy.ground.errors import NoInferenceFeature, UpstreamBroken, UpstreamError
from proxy.ground.interception import is_inference
from proxy.http1 import HOP_BY_HOP, Forwarding, Headers, RequestHead
from proxy.http1.bodies import pieces
from proxy.limits.uploads import PAUSE
from proxy.upstream.feature import REFUSAL_LIMIT, lacks_inference
from proxy.upstream.heads import head_of
from proxy.upstream.hooks import FROM_UPSTREAM
from proxy.upstream.session import PIECE, Question, UpstreamSession
from proxy.upstream.upload import Upload

FETCH_LIMIT: Final = 32 * 1024 * 1024  # bytes of an answer that is fetched
_SMALL: Final = 4096  # bytes of a piece of an answer

# Headers about a body that is not sent, and those that would bring an answer that is partial or
# encoded.
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


class Change(Protocol):
    """Changes the JSON of an answer as it passes."""

    def feed(self, data: bytes) -> bytes:
        """What can be passed on by now."""

    def finish(self) -> bytes:
        """What is left, once all has come."""


def forwarding(upstream: UpstreamConfig) -> Forwarding:
    """How headers change on the way upstream, as configured."""
    host = None if upstream.host is None else upstream.host.encode()
    return Forwarding(host=host, x_forwarded=upstream.x_forwarded)


class Forwarder:
    """Hands requests on to the upstream, and its answers back."""

    def __init__(
        self,
        session: UpstreamSession,
        forwarding: Forwarding,
        *,
        body_timeout: float = PAUSE,
    ) -> None:
        if not session.nodes:
            raise ValueError("no upstream is configured")
        self._session = session
        self._forwarding = forwarding
        self._body_timeout = body_timeout
        self._line = asyncio.Lock()

    async def hand_on(
        self,
        request: web.Request,
        body: bytes | None = None,
        answered: Callable[[], Awaitable[None]] | None = None,
    ) -> web.StreamResponse:
        """Send a request upstream, and stream the answer back; `body`, if it has been read.

        `answered` is waited for before the caller sees the answer.
        Raises: ProxyError, before the first byte of the answer.
        """
        async with self._asked(request, body) as answer:
            if answered is not None:
                await answered()
            return await _pass_back(request, answer, self._line)

    async def hand_on_as(
        self,
        request: web.Request,
        target: str,
        body: bytes | None,
        change: Change | None = None,
        answered: Callable[[], Awaitable[None]] | None = None,
    ) -> web.StreamResponse:
        """As `hand_on`, with another target and, unless it is None, another body, not encoded.

        `change` is what is done to the answer, if anything.
        """
        plain = change is not None
        async with self._asked(request, body, target=target, plain=plain) as answer:
            if answered is not None:
                await answered()
            return await _pass_back(request, answer, self._line, change=change)

    async def hand_on_inference(
        self, request: web.Request, body: bytes | None
    ) -> web.StreamResponse:
        """As `hand_on`, for an `_inference` request that is not ours; `body`, if it has been read.

        Raises: NoInferenceFeature when the upstream has no inference plugin; else as `hand_on`.
        """
        async with self._asked(request, body) as answer:
            start = b""
            if answer.status in (400, 404, 405):
                start = await self._session.read(answer, REFUSAL_LIMIT)
                if lacks_inference(start, answer.headers.get(hdrs.CONTENT_ENCODING)):
                    raise NoInferenceFeature
            return await _pass_back(request, answer, self._line, start)

    async def fetch(
        self, request: web.Request, target: str
    ) -> tuple[int, CIMultiDictProxy[str], bytes]:
        """GET `target` as the caller of `request`: status, headers, and the body, not encoded.

        Raises: ProxyError, also for an answer of more than FETCH_LIMIT bytes.
        """
        headers = end_to_end(request)
        if "json" not in headers.get(hdrs.ACCEPT, "json"):
            headers.popall(hdrs.ACCEPT)  # we read the answer, whatever form the caller gets
        question = Question(method=hdrs.METH_GET, target=target, headers=headers)
        answer = await self._session.fetch(question, FETCH_LIMIT)
        if answer.body is None:
            raise UpstreamBroken("upstream node answered with too many bytes")
        return answer.status, answer.headers, answer.body

    @asynccontextmanager
    async def _asked(
        self,
        request: web.Request,
        body: bytes | None,
        *,
        target: str | None = None,
        plain: bool = False,
    ) -> AsyncIterator[ClientResponse]:
        """The upstream's answer to a request, the body still to be read; `plain`: not encoded."""
        head = head_of(request)
        headers = _joined(self._onward(request, head))
        if plain:
            headers.popall(hdrs.ACCEPT_ENCODING, None)
        if target is not None and body is not None:
            headers.popall(hdrs.CONTENT_ENCODING, None)
            headers[hdrs.CONTENT_LENGTH] = str(len(body))
            headers.setdefault(hdrs.CONTENT_TYPE, "application/json")
        if request.content.is_eof() or is_inference(head.target):
            headers.popall(hdrs.EXPECT, None)  # the body is here, or has been asked for
        if body is None and request.content.is_eof():
            body = await request.read()
        upload = Upload(request, self._body_timeout, expects=hdrs.EXPECT in headers)
        question = Question(
            method=request.method,
            target=target or request.raw_path,
            headers=headers,
            body=upload.pieces if body is None else partial(_slices, body),
        )
        repeatable = head.repeatable and body is not None
        try:
            async with self._session.ask(question, repeatable=repeatable) as answer:
                yield answer
        except UpstreamError:
            if upload.error is not None:
                raise upload.error from None
            raise

    def _onward(self, request: web.Request, head: RequestHead) -> Headers:
        peer = request.transport and request.transport.get_extra_info("peername")
        if not peer or self._forwarding.changes_nothing:
            # From the lane, which has changed them already, requests come by pipes: no peer.
            return head.headers
        scheme = b"https" if request.secure else b"http"
        return self._forwarding.applied(head.headers, peer=peer[0], scheme=scheme)


def end_to_end(request: web.Request) -> CIMultiDict[str]:
    """The headers of a caller's request that a question in its name keeps."""
    pairs = head_of(request).headers
    return _joined(pair for pair in pairs if pair[0].lower() not in _NOT_FETCHED)


async def _pass_back(
    request: web.Request,
    answer: ClientResponse,
    line: asyncio.Lock,
    start: bytes = b"",
    change: Change | None = None,
) -> web.StreamResponse:
    """Stream an answer to the caller; `start` is what has been read of its body.

    Small pieces may be of many small chunks, which take long to read. So of all answers that bring
    such pieces one goes on in each turn of the loop; the others wait in `line`.
    """
    headers = CIMultiDict[str]()
    for name, value in answer.raw_headers:
        if name.lower() not in HOP_BY_HOP:
            headers.add(_text(name), _text(value))
    if change is not None:
        headers.popall(hdrs.CONTENT_LENGTH, None)
        if "json" not in answer.content_type:
            change = None
    request[FROM_UPSTREAM] = frozenset(name.lower() for name in headers)
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
    await response.prepare(request)
    if start:
        await response.write(start)
    while True:
        try:
            piece = await answer.content.readany()
        except ClientError:
            _cut(request)  # half an answer must not look whole
            return response
        if not piece:
            break
        await response.write(piece if change is None else change.feed(piece))
        if len(piece) < _SMALL and not answer.content.at_eof():
            async with line:
                await asyncio.sleep(0)
    await response.write_eof(b"" if change is None else change.finish())
    return response


def _slices(body: bytes) -> AsyncIterator[bytes] | None:
    return pieces(body, PIECE) if body else None


def _joined(pairs: Iterable[tuple[bytes, bytes]]) -> CIMultiDict[str]:
    """Headers for aiohttp's client, which keeps duplicates only when they are spelled alike."""
    spelling: dict[bytes, str] = {}
    headers = CIMultiDict[str]()
    for name, value in pairs:
        headers.add(spelling.setdefault(name.lower(), _text(name)), _text(value))
    return headers


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _cut(request: web.Request) -> None:
    """Abort the caller's connection, with a reset if it is TCP."""
    transport = request.transport
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
