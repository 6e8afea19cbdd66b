"""What the semantic layer needs of others: the upstream, and endpoints that embed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from aiohttp import web
from multidict import CIMultiDictProxy

from proxy.ground.authorization import Action, Verdict
from proxy.inference.endpoints import InferenceEndpoint
from proxy.inference.results import WrittenEmbedding
from proxy.limits.deadline import Deadline


class UpstreamAnswer(Protocol):
    """An answer of the upstream, read to its end and not encoded."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def body(self) -> bytes: ...


# What an answer's body tells, decoded; None where the caller may have it as it came.
Telling = Callable[[bytes, str | None], bytes | None]


class Pieces(Protocol):
    """Changes an answer as it passes."""

    def feed(self, data: bytes) -> bytes:
        """What can be passed on by now."""

    def finish(self) -> bytes:
        """What is left, once all has come."""


class Change(Protocol):
    """What is done to the JSON of an answer, which comes in a content coding perhaps, and stays so.

    Both raise ProxyError for what is not encoded as it says.
    """

    def whole(self, body: bytes, coding: str | None) -> bytes | None:
        """The body with the change; None where there is nothing to change."""

    def pieces(self, coding: str | None) -> Pieces:
        """The same for one that comes in pieces."""


class Upstream(Protocol):
    """The Elasticsearch behind us. Every method raises UpstreamError where it does not answer."""

    async def has_inference(self) -> bool:
        """Whether it has the inference plugin, which knows `semantic_text`."""

    async def version(self) -> str | None:
        """Which release of Elasticsearch it is; None if it does not tell."""

    async def ask_as_proxy(self, method: str, target: str, body: bytes = b"") -> UpstreamAnswer:
        """Ask with the proxy's own credentials; `body` is JSON."""

    async def ask_as_caller(
        self, request: web.Request, method: str, target: str, body: bytes | list[bytes] = b""
    ) -> UpstreamAnswer:
        """Ask with the headers of a caller's request, but for those about its body.

        `body`, perhaps in pieces, is JSON, or newline-delimited JSON where the request's own is.
        """


class Forwarder(Protocol):
    """Hands callers' requests on to it, and its answers back; raises as `Upstream`."""

    async def ask_unless_large(
        self,
        request: web.Request,
        method: str,
        target: str,
        body: bytes | list[bytes],
        too_large: Change | None,
    ) -> UpstreamAnswer | web.StreamResponse:
        """As `ask_as_caller`; an answer that is too large to be read passes, with that change."""

    async def hand_on(
        self,
        request: web.Request,
        body: bytes | None = None,
        answered: Callable[[], Awaitable[None]] | None = None,
        change: Change | None = None,
    ) -> web.StreamResponse:
        """Send the caller's request as it is, and stream the answer back.

        `body` is the request's body, if it has been read; `answered` is waited for before the
        caller sees the answer, `change` is what is done to that. Where there is nothing to change,
        the caller gets the very bytes of the upstream.
        """

    async def hand_on_unless(
        self,
        request: web.Request,
        body: bytes | None,
        telling: Telling,
        too_large: Change | None = None,
    ) -> web.StreamResponse | UpstreamAnswer:
        """As `hand_on`, unless `telling` finds something in the answer, which is returned then.

        `too_large` is what is done to an answer that cannot be read as a whole; without it,
        AnswerTooLarge is raised.
        """

    async def hand_on_pieces(
        self,
        request: web.Request,
        pieces: AsyncIterator[bytes],
        is_whole: Callable[[], bool],
    ) -> web.StreamResponse | UpstreamAnswer:
        """As `hand_on`, with a JSON body that comes in these pieces, and JSON in return.

        The answer is returned if `is_whole` says that they are not the whole body.
        """

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


class Permissions(Protocol):
    """What callers may do."""

    async def check(self, headers: CIMultiDictProxy[str], target: str, action: Action) -> Verdict:
        """The verdict on the caller who sends these headers; `target` is the request's raw target.

        Raises: Unauthenticated, IllegalArgument; UpstreamError where nobody can tell.
        """


class Endpoints(Protocol):
    """The inference endpoints of the proxy."""

    async def find(self, inference_id: str) -> InferenceEndpoint | None:
        """The endpoint; None if there is none. Raises: StoreError."""

    async def completed(self, endpoint: InferenceEndpoint) -> InferenceEndpoint:
        """The endpoint with the size of its vectors, even if it was starting when it was created.

        Raises: ProxyError for the provider's failures.
        """

    async def embed(
        self,
        endpoint: InferenceEndpoint,
        texts: Sequence[str],
        deadline: Deadline,
        input_type: str,
    ) -> Sequence[WrittenEmbedding]:
        """A vector, or weights of tokens, for each text, as the endpoint's task makes them.

        Raises: ProxyError for the provider's failures.

        `input_type` is `ingest` for texts to be found, `search` for those that look for others.
        """

    async def infer(
        self,
        endpoint: InferenceEndpoint,
        texts: Sequence[str],
        deadline: Deadline,
        input_type: str | None = None,
    ) -> list[Any]:
        """What the endpoint's task makes of each text, as JSON.

        Raises: as `embed`, and for tasks that take no texts alone.
        """

    async def rerank(
        self, endpoint: InferenceEndpoint, query: str, documents: Sequence[str], deadline: Deadline
    ) -> list[tuple[int, float]]:
        """Which of `documents` have which scores for a query. Raises: as `embed`."""
