"""What the service needs of others: a store of endpoints, and a provider to call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from typing import Final, Protocol

from proxy.inference.chat import ChatRequest
from proxy.inference.endpoints import InferenceEndpoint, TaskType
from proxy.inference.results import RankedDocument, SparseVector
from proxy.limits.deadline import Deadline
from proxy.xcontent.values import Json

Change = Callable[[InferenceEndpoint], InferenceEndpoint]
MAX_ENDPOINTS: Final = 10_000  # that a list shows


# Whether the last `get` of this task answered from memory because the store was away.
served_stale: ContextVar[bool] = ContextVar("served_stale", default=False)
# The ids that the last `find` of this task left out, because their records must not be used.
left_out: ContextVar[tuple[str, ...]] = ContextVar("left_out", default=())


class EndpointStore(Protocol):
    """Endpoint configurations by inference id.

    Every method raises StoreError when the store cannot be used. A method that returns has made
    its change durable; one that is cancelled has made it wholly or not at all.
    """

    async def open(self) -> None:
        """Make the store ready: connect, create what is missing, check the encryption key.

        A store that cannot be reached yet is no error: every call tries again.
        Raises: KeyMismatch; ConfigError for key files that cannot be used.
        """

    async def close(self) -> None:
        """Give up connections and files."""

    async def create(self, endpoint: InferenceEndpoint) -> None:
        """Add a new endpoint, or raise EndpointAlreadyExists."""

    async def get(self, inference_id: str) -> InferenceEndpoint:
        """The endpoint, or EndpointNotFound; AllLost where nothing at all is there."""

    async def find(self, task_type: TaskType | None = None) -> list[InferenceEndpoint]:
        """All endpoints, or those of one task type, sorted by id; MAX_ENDPOINTS at most.

        A record that must not be used hinders no other: `left_out` has its id, the log why.
        """

    async def update(self, inference_id: str, change: Change) -> InferenceEndpoint:
        """Replace the endpoint by `change(endpoint)` atomically; EndpointNotFound if missing.

        `change` must be pure: it may run several times, and in another thread.
        """

    async def delete(self, inference_id: str) -> None:
        """Remove the endpoint, or raise EndpointNotFound. It need not be readable."""


class Provider(Protocol):
    """What the service needs of Hugging Face endpoints; see HuggingFace.

    No method ends at its deadline by itself: it only waits for nothing that lies beyond.
    """

    async def embed(
        self, endpoint: InferenceEndpoint, inputs: Sequence[str], deadline: Deadline
    ) -> list[list[float]]: ...

    async def embed_sparse(
        self, endpoint: InferenceEndpoint, inputs: Sequence[str], deadline: Deadline
    ) -> list[SparseVector]: ...

    async def rerank(
        self,
        endpoint: InferenceEndpoint,
        query: str,
        documents: Sequence[str],
        deadline: Deadline,
        *,
        top_n: int | None,
        return_documents: bool | None,
    ) -> list[RankedDocument]: ...

    async def complete(
        self, endpoint: InferenceEndpoint, text: str, deadline: Deadline
    ) -> list[str]: ...

    def stream_completion(
        self, endpoint: InferenceEndpoint, text: str, deadline: Deadline
    ) -> AbstractAsyncContextManager[AsyncIterator[list[str]]]: ...

    def stream_chat(
        self, endpoint: InferenceEndpoint, request: ChatRequest, deadline: Deadline
    ) -> AbstractAsyncContextManager[AsyncIterator[Json]]: ...

    async def chat(
        self, endpoint: InferenceEndpoint, request: ChatRequest, deadline: Deadline
    ) -> Json: ...
