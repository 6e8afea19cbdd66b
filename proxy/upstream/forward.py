"""The application's own way upstream, for requests that it does not answer itself.

Nothing is held back, re-quoted or invented: the upstream gets the raw target, the caller's
end-to-end headers and the body as it comes; the caller gets the upstream's status, headers and
bytes. Which requests may be passed on, and how, `proxy.http1` decides, as it does for the lane.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from aiohttp import hdrs, web
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.config import UpstreamConfig
from proxy.ground.errors import NoInferenceFeature, UpstreamError
from proxy.ground.interception import is_inference
from proxy.ground.largeanswers import AnswerTooLarge
from proxy.http1 import HOP_BY_HOP, Forwarding, Headers, RequestHead
from proxy.http1.bodies import pieces
from proxy.http1.headers import OWN
from proxy.limits.uploads import PAUSE
from proxy.upstream.feature import REFUSAL_LIMIT, lacks_inference
from proxy.upstream.heads import head_of
from proxy.upstream.passingback import (
    Change,
    Telling,
    UpstreamAnswer,
    gathered,
    pass_back,
    passed_back_whole,
    text_of,
)
from proxy.upstream.session import PIECE, Question, UpstreamResponse, UpstreamSession
from proxy.upstream.upload import Upload

_JSON: Final = "application/json"
_VERSION: Final = re.compile(r"compatible-with=[0-9]+")  # of the API
# Content codings of answers that can be changed.
_CODINGS: Final = frozenset(("gzip", "deflate", "identity"))

# Headers for one connection, or for the proxy; about a body that is not sent; and those that would
# bring an answer that is partial or encoded.
_NOT_FETCHED: Final = (
    HOP_BY_HOP
    | OWN
    | frozenset(
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
)


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
        change: Change | None = None,
    ) -> web.StreamResponse:
        """Send a request upstream, and stream the answer back; `body`, if it has been read.

        `answered` is waited for before the caller sees the answer, `change` what is done to that.
        Raises: ProxyError, before the first byte of the answer.
        """
        async with self._asked(request, body, is_read=change is not None) as answer:
            if answered is not None:
                await answered()
            return await pass_back(request, answer, self._line, change=change)

    async def hand_on_unless(
        self,
        request: web.Request,
        body: bytes | None,
        telling: Telling,
        too_large: Change | None = None,
    ) -> web.StreamResponse | UpstreamAnswer:
        """As `hand_on`, unless `telling` finds something in the answer, which is returned then.

        `too_large` is what is done to an answer that cannot be read as a whole.
        Raises: ProxyError, also for such an answer where nothing is done to it.
        """
        most = self._session.answer_size
        async with self._asked(request, body, is_read=True) as answer:
            start = await gathered(answer, most)
            if not answer.content.at_eof():
                return await self.passed_on(request, answer, start, too_large)
            told = telling(start, answer.headers.get(hdrs.CONTENT_ENCODING))
            if told is None:
                return await passed_back_whole(request, answer, start)
            return UpstreamAnswer(status=answer.status, headers=answer.headers, body=told)

    async def passed_on(
        self, request: web.Request, answer: UpstreamResponse, start: bytes, change: Change | None
    ) -> web.StreamResponse:
        """An answer that is too large to be read as a whole, of which this is the `start`.

        Raises: ProxyError, before the first byte.
        """
        if change is None:
            raise AnswerTooLarge(self._session.answer_size)
        return await pass_back(request, answer, self._line, start, change)

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
        asked = self._asked(request, body, target=target, is_read=change is not None)
        async with asked as answer:
            if answered is not None:
                await answered()
            return await pass_back(request, answer, self._line, change=change)

    async def hand_on_pieces(
        self,
        request: web.Request,
        pieces: AsyncIterator[bytes],
        is_whole: Callable[[], bool],
    ) -> web.StreamResponse | UpstreamAnswer:
        """As `hand_on`, with a body that comes in these pieces, and is not encoded.

        The answer is returned if `is_whole` says that they are not the whole body.
        Raises: as `hand_on`; AnswerTooLarge for one that would be returned.
        """
        headers = end_to_end(request)
        headers[hdrs.CONTENT_TYPE] = request.headers[hdrs.CONTENT_TYPE]
        question = Question(
            method=request.method, target=request.raw_path, headers=headers, body=lambda: pieces
        )
        async with self._session.ask(question, repeatable=False) as answer:
            if is_whole():
                return await pass_back(request, answer, self._line)
            return await self._read(request, answer, None)

    async def ask_unless_large(
        self,
        request: web.Request,
        method: str,
        target: str,
        body: bytes | list[bytes],
        too_large: Change | None,
    ) -> UpstreamAnswer | web.StreamResponse:
        """As `ask_as_caller`; an answer that is too large to be read passes, with that change."""
        headers = end_to_end(request)
        if body:
            headers[hdrs.CONTENT_TYPE] = _type_of_json(request)
        if isinstance(body, list):
            if (size := sum(map(len, body))) <= PIECE or len(body) == 1:
                body = b"".join(body)
            else:
                headers[hdrs.CONTENT_LENGTH] = str(size)
        question = Question(
            method=method,
            target=target,
            headers=headers,
            body=lambda: _in_turn(body) if isinstance(body, list) else body or None,
        )
        async with self._session.ask(question, repeatable=method in ("GET", "HEAD")) as answer:
            return await self._read(request, answer, too_large)

    async def _read(
        self, request: web.Request, answer: UpstreamResponse, too_large: Change | None
    ) -> UpstreamAnswer | web.StreamResponse:
        """The answer, read to its end; or passed on where that is too far.

        Raises: AnswerTooLarge for such a one where nothing is done to it.
        """
        most = self._session.answer_size
        data = await self._session.read(answer, most + 1)
        if len(data) > most:
            return await self.passed_on(request, answer, data, too_large)
        return UpstreamAnswer(status=answer.status, headers=answer.headers, body=data)

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
            return await pass_back(request, answer, self._line, start)

    async def fetch(
        self, request: web.Request, target: str
    ) -> tuple[int, CIMultiDictProxy[str], bytes]:
        """GET `target` as the caller of `request`: status, headers, and the body, not encoded.

        Raises: ProxyError, also for an answer that is too large.
        """
        headers = end_to_end(request)
        question = Question(method=hdrs.METH_GET, target=target, headers=headers)
        most = self._session.answer_size
        answer = await self._session.fetch(question, most)
        if answer.body is None:
            raise AnswerTooLarge(most)
        return answer.status, answer.headers, answer.body

    @asynccontextmanager
    async def _asked(
        self,
        request: web.Request,
        body: bytes | None,
        *,
        target: str | None = None,
        is_read: bool = False,
    ) -> AsyncIterator[UpstreamResponse]:
        """The upstream's answer to a request, the body still to be read.

        `is_read`: in a content coding that can be read here.
        """
        head = head_of(request)
        headers = _joined(self._onward(request, head))
        if is_read and hdrs.ACCEPT_ENCODING in headers:
            headers[hdrs.ACCEPT_ENCODING] = _readable(headers[hdrs.ACCEPT_ENCODING])
        if target is not None and body is not None:
            headers.popall(hdrs.CONTENT_ENCODING, None)
            headers[hdrs.CONTENT_LENGTH] = str(len(body))
            if not (_has_body(request) and hdrs.CONTENT_TYPE in headers):  # else it is in that form
                headers[hdrs.CONTENT_TYPE] = _type_of_json(request)
        if request.content.is_eof() or is_inference(head.target):
            headers.popall(hdrs.EXPECT, None)  # the body is here, or has been asked for
        if body is None and request.content.is_eof():
            body = await request.read()
        upload = Upload(request, self._body_timeout, expects=hdrs.EXPECT in headers)
        question = Question(
            method=request.method,
            target=target or request.raw_path,
            headers=headers,
            body=upload.pieces if body is None else partial(_content, body, headers),
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
    """The headers of a caller's request that a question in its name keeps.

    Whoever lets requests in has refused what must not be passed on.
    """
    pairs = request.raw_headers
    headers = _joined(pair for pair in pairs if pair[0].lower() not in _NOT_FETCHED)
    if "json" not in (wanted := headers.get(hdrs.ACCEPT, "json")):
        headers.popall(hdrs.ACCEPT)  # we read the answer, whatever form the caller gets
        if (version := _version_of(wanted)) is not None:
            headers[hdrs.ACCEPT] = _json(version)
    return headers


def _type_of_json(request: web.Request) -> str:
    """The Content-Type of JSON that is sent in place of a request's own body, or of none.

    It names the version of the API that the caller does, as Elasticsearch wants it of both headers
    where there is a body. Source: RestCompatibleVersionHelper.
    """
    if not _has_body(request):
        return _json(_version_of(request.headers.get(hdrs.ACCEPT, "")))
    sent = request.headers.get(hdrs.CONTENT_TYPE, "")
    return sent if "json" in sent else _json(_version_of(sent))


def _has_body(request: web.Request) -> bool:
    given = request.headers
    return given.get(hdrs.CONTENT_LENGTH, "0") != "0" or hdrs.TRANSFER_ENCODING in given


def _version_of(media_type: str) -> str | None:
    """The parameter that names a version; lists, as of JavaScript's client, count as nothing."""
    found = None if "," in media_type else _VERSION.search(media_type)
    return None if found is None else found[0]


def _json(version: str | None) -> str:
    return _JSON if version is None else f"application/vnd.elasticsearch+json;{version}"


def _readable(offers: str) -> str:
    """The content codings that a caller accepts, without those that cannot be read here."""
    kept = [one for one in offers.split(",") if one.partition(";")[0].strip().lower() in _CODINGS]
    return ",".join(kept)


def _content(body: bytes, headers: CIMultiDict[str]) -> AsyncIterator[bytes] | bytes:
    """A body as it is sent: in chunks if it came so, and in pieces if it is long."""
    is_chunked = body and hdrs.CONTENT_LENGTH not in headers
    return pieces(body, PIECE) if is_chunked or len(body) > PIECE else body


def _joined(pairs: Iterable[tuple[bytes, bytes]]) -> CIMultiDict[str]:
    """Headers for aiohttp's client, which keeps duplicates only when they are spelled alike."""
    spelling: dict[bytes, str] = {}
    headers = CIMultiDict[str]()
    for name, value in pairs:
        headers.add(spelling.setdefault(name.lower(), text_of(name)), text_of(value))
    return headers


async def _in_turn(pieces: list[bytes]) -> AsyncIterator[bytes]:
    """A body that is not copied to be in one piece; aiohttp takes such from generators only.

    It is let go of as it is written: the answer may take long.
    """
    pieces.reverse()
    while pieces:
        yield pieces.pop()
