"""Questions of the application to the upstream, in its callers' names or in its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from aiohttp import hdrs, web
from multidict import CIMultiDict

from proxy.config import UpstreamConfig
from proxy.ground.errors import UpstreamBroken, UpstreamUnavailable
from proxy.upstream.feature import lacks_inference
from proxy.upstream.forward import Forwarder, end_to_end
from proxy.upstream.nodes import UNAVAILABLE
from proxy.upstream.passingback import Change, Telling, UpstreamAnswer
from proxy.upstream.session import PIECE, Question, UpstreamSession
from proxy.upstream.version import own_credentials, upstream_version

_JSON: Final = "application/json"
_NDJSON: Final = "application/x-ndjson"


class Asking:
    """Asks the upstream. Every method raises UpstreamError where it does not answer."""

    def __init__(
        self, session: UpstreamSession, forwarder: Forwarder, upstream: UpstreamConfig
    ) -> None:
        self._session = session
        self._forwarder = forwarder
        self._upstream = upstream
        self._own = _own_headers(upstream)
        self._time_limit = upstream.check_timeout

    async def has_inference(self) -> bool:
        """Whether it has the inference plugin, which knows `semantic_text`."""
        answer = await self.ask_as_proxy(hdrs.METH_GET, "/_inference")
        if answer.status in UNAVAILABLE:
            raise UpstreamUnavailable(f"upstream node answered {answer.status} to [_inference]")
        return answer.status < 400 or not lacks_inference(answer.body, None)

    async def version(self) -> str | None:
        """Which release of Elasticsearch it is; None if it does not tell."""
        return await upstream_version(self._session, self._upstream)

    async def ask_as_proxy(self, method: str, target: str, body: bytes = b"") -> UpstreamAnswer:
        """Ask with the proxy's own credentials; `body` is JSON."""
        headers = self._own.copy()
        if body:
            headers[hdrs.CONTENT_TYPE] = _JSON
        question = Question(
            method=method,
            target=target,
            headers=headers,
            body=lambda: body or None,
            time_limit=self._time_limit,
        )
        answer = await self._session.fetch(question, self._session.answer_size)
        if answer.body is None:
            raise UpstreamBroken(
                "upstream node answered a question of the proxy's own with more than "
                f"[{self._session.answer_size}] bytes; [upstream.answer_size] can be raised"
            )
        return UpstreamAnswer(status=answer.status, headers=answer.headers, body=answer.body)

    async def ask_as_caller(
        self, request: web.Request, method: str, target: str, body: bytes | list[bytes] = b""
    ) -> UpstreamAnswer:
        """Ask with the headers of a caller's request, but for those about its body.

        `body`, perhaps in pieces, is JSON, or newline-delimited JSON where the request's own is.
        Pieces are taken out of their list as they are sent.
        """
        found = await self.ask_unless_large(request, method, target, body, None)
        assert isinstance(found, UpstreamAnswer)
        return found

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
            sent = request.headers.get(hdrs.CONTENT_TYPE, "")
            headers[hdrs.CONTENT_TYPE] = sent if "json" in sent else _JSON
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
            most = self._session.answer_size
            data = await self._session.read(answer, most + 1)
            if len(data) > most:
                return await self._forwarder.passed_on(request, answer, data, too_large)
            return UpstreamAnswer(status=answer.status, headers=answer.headers, body=data)

    async def hand_on(
        self,
        request: web.Request,
        body: bytes | None = None,
        answered: Callable[[], Awaitable[None]] | None = None,
        change: Change | None = None,
    ) -> web.StreamResponse:
        """Send the caller's request as it is, and stream the answer back.

        `answered` is waited for before the caller sees the answer, `change` what is done to that.
        """
        return await self._forwarder.hand_on(request, body, answered, change)

    async def hand_on_unless(
        self,
        request: web.Request,
        body: bytes | None,
        telling: Telling,
        too_large: Change | None = None,
    ) -> web.StreamResponse | UpstreamAnswer:
        """As `hand_on`, unless `telling` finds something in the answer, which is returned then.

        `too_large` is what is done to an answer that cannot be read as a whole.
        """
        return await self._forwarder.hand_on_unless(request, body, telling, too_large)

    async def hand_on_pieces(
        self,
        request: web.Request,
        pieces: AsyncIterator[bytes],
        is_whole: Callable[[], bool],
    ) -> web.StreamResponse | UpstreamAnswer:
        """As `hand_on`, with a JSON body that comes in these pieces, and JSON in return.

        The answer is returned if `is_whole` says that they are not the whole body.
        """
        return await self._forwarder.hand_on_pieces(request, pieces, is_whole)

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
        return await self._forwarder.hand_on_as(request, target, body, change, answered)


async def _in_turn(pieces: list[bytes]) -> AsyncIterator[bytes]:
    """A body that is not copied to be in one piece; aiohttp takes such from generators only.

    It is let go of as it is written: the answer may take long.
    """
    pieces.reverse()
    while pieces:
        yield pieces.pop()


def _own_headers(upstream: UpstreamConfig) -> CIMultiDict[str]:
    headers = CIMultiDict({hdrs.ACCEPT: _JSON})
    if upstream.host is not None:
        headers[hdrs.HOST] = upstream.host
    if (credentials := own_credentials(upstream)) is not None:
        headers[hdrs.AUTHORIZATION] = credentials
    return headers
