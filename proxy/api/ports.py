"""What the API needs of the Elasticsearch behind it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from aiohttp import web
from multidict import CIMultiDictProxy

from proxy.ground.authorization import Action, Verdict
from proxy.ground.crossorigin import OriginVerdict


class Authorizer(Protocol):
    """Asks whether callers may do what they ask for; see Privileges."""

    def question(
        self, headers: CIMultiDictProxy[str], target: str, action: Action
    ) -> Callable[[], Awaitable[Verdict]]:
        """Whether the caller with these credentials may; `target` is that of its request.

        It is asked whenever the result is called. What that returns raises the upstream's own 401;
        UpstreamError when it cannot be asked.
        """


class OriginJudge(Protocol):
    """Knows which origins may see answers; see Origins."""

    async def judge(self, method: str, headers: CIMultiDictProxy[str]) -> OriginVerdict:
        """What the origin of a request means for its answer.

        Raises: UpstreamError when the upstream cannot be asked.
        """


class Upstream(Protocol):
    """The upstream, which may have an inference plugin of its own; see Forwarder."""

    async def hand_on_inference(
        self, request: web.Request, body: bytes | None
    ) -> web.StreamResponse:
        """Its answer, passed on; `body` is that of the request, if it has been read.

        Raises: NoInferenceFeature where it has no inference plugin.
        """

    async def fetch(
        self, request: web.Request, target: str
    ) -> tuple[int, CIMultiDictProxy[str], bytes]:
        """Status, headers and body of its answer to GET `target`, asked as the caller."""
