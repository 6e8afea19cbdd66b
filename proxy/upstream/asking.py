"""Questions of the application to the upstream, in its callers' names or in its own."""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs, web
from multidict import CIMultiDict

from proxy.config import UpstreamConfig
from proxy.ground.errors import UpstreamBroken, UpstreamUnavailable
from proxy.upstream.feature import lacks_inference
from proxy.upstream.forward import Forwarder
from proxy.upstream.nodes import UNAVAILABLE
from proxy.upstream.passingback import UpstreamAnswer
from proxy.upstream.session import Question, UpstreamSession
from proxy.upstream.version import own_credentials, upstream_version

_JSON: Final = "application/json"


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
        found = await self._forwarder.ask_unless_large(request, method, target, body, None)
        assert isinstance(found, UpstreamAnswer)
        return found


def _own_headers(upstream: UpstreamConfig) -> CIMultiDict[str]:
    headers = CIMultiDict({hdrs.ACCEPT: _JSON})
    if upstream.host is not None:
        headers[hdrs.HOST] = upstream.host
    if (credentials := own_credentials(upstream)) is not None:
        headers[hdrs.AUTHORIZATION] = credentials
    return headers
