"""What the service needs: a store of endpoints, and a provider to call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from proxy.inference.chat import ChatRequest
from proxy.inference.endpoints import InferenceEndpoint, TaskType
from proxy.inference.fingerprints import Model
from proxy.inference.results import RankedDocument, SparseVector
from proxy.inference.streaming import Stream
from proxy.limits.deadline import Deadline
from proxy.xcontent.numbers import Numbers
from proxy.xcontent.values import Json

Change = Callable[[InferenceEndpoint], InferenceEndpoint]
MAX_ENDPOINTS: Final = 10_000  # in a listing
MAX_REFUSED: Final = 100  # ids in a listing of records that must not be used
SAMPLE: Final = 10  # records that a check reads at once


@dataclass(frozen=True, slots=True)
class Known:
    """An endpoint; `stale` if it is remembered from before the store became unusable."""

    endpoint: InferenceEndpoint
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """Endpoints sorted by id, and the ids of those whose stored records must not be used.

    Who may write to the store can leave any number of such records: MAX_REFUSED are named, and
    `more_refused` counts the others. Not `complete`: there may be more endpoints.
    """

    endpoints: list[InferenceEndpoint]
    refused: tuple[str, ...] = ()
    more_refused: int = 0
    complete: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Uses:
    """What names an endpoint: pipelines and indices, sorted."""

    pipelines: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()


class Dependents(Protocol):
    """What uses endpoints besides `_inference` requests."""

    async def uses_of(self, inference_id: str) -> Uses:
        """What names an endpoint. Raises: UpstreamError when the upstream cannot be asked."""

    async def misfits_of(self, endpoint: InferenceEndpoint) -> Sequence[str]:
        """The indices, sorted, that name it and hold embeddings which its own do not fit."""


class NoDependents:
    """For endpoints that are called by `_inference` requests only."""

    async def uses_of(self, inference_id: str) -> Uses:
        return Uses()

    async def misfits_of(self, endpoint: InferenceEndpoint) -> Sequence[str]:
        return ()


class EndpointStore(Protocol):
    """Endpoint configurations by inference id.

    Every method raises StoreError when the store cannot be used. A change is durable when its
    method returns; if the method is cancelled, the change is made completely or not at all.
    """

    async def open(self) -> None:
        """Make the store ready: connect, create what is missing, check the encryption key.

        A store that cannot be reached yet is no error, as every call tries again.
        Raises: KeyMismatch; ConfigError for key files that cannot be used.
        """

    async def close(self) -> None:
        """Close connections and files."""

    async def create(self, endpoint: InferenceEndpoint) -> None:
        """Add a new endpoint. Raises: EndpointAlreadyExists; StatusError for an id too long."""

    async def get(self, inference_id: str) -> Known:
        """The endpoint.

        Raises: RecordRefused; EndpointNotFound, or StoreMissing when the whole store is missing.
        """

    async def find(self, task_type: TaskType | None = None) -> Listing:
        """All endpoints, or those of one task type, MAX_ENDPOINTS at most.

        A record that must not be used does not fail the listing; the log says what is wrong.
        Raises: MemoryShort, as the listing counts for the request under way.
        """

    async def check(self) -> str | None:
        """Read a sample of the endpoints; what is wrong with some of them, if anything is.

        Raises: StoreError if none of them can be used.
        """

    async def update(self, inference_id: str, change: Change) -> InferenceEndpoint:
        """Replace the endpoint by `change(endpoint)` atomically; the changed endpoint.

        `change` must be pure: it may run several times, and in another thread.
        Raises: RecordRefused; EndpointNotFound; whatever `change` raises.
        """

    async def delete(self, inference_id: str) -> None:
        """Remove the endpoint, even if its record must not be used. Raises: EndpointNotFound."""


class Notes(Protocol):
    """Small JSON objects by which proxies with the same store tell each other something.

    Names are no inference ids. What has been damaged, or somebody else has written, is as if it
    were not there. Every method raises StoreError when the store cannot be used.
    """

    async def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Leave a note, in place of the one of that name if there is one."""

    async def read(self, name: str) -> dict[str, Any] | None:
        """What a note says; None if there is none."""

    async def change(
        self,
        name: str,
        change: Callable[[dict[str, Any]], Mapping[str, Any]],
        *,
        start: Mapping[str, Any] | None = None,
    ) -> dict[str, Any] | None:
        """Replace what a note says atomically, and return it.

        Where there is none, `change` gets what is to be there at the `start`; without that, nothing
        is done, and the result is None. `change` may run several times, and in another thread.
        """

    async def all(self) -> dict[str, dict[str, Any]]:
        """All notes by name."""

    async def delete(self, name: str) -> None:
        """Take a note away, if it is there."""


class Store(EndpointStore, Protocol):
    """A store of endpoints that keeps notes, too."""

    @property
    def notes(self) -> Notes: ...


@dataclass(frozen=True, slots=True)
class Sighting:
    """What is seen of a provider's server without asking it: a change says, look again."""

    model: Model  # as it names it
    interruptions: int  # how often it was away


class Provider(Protocol):
    """What the service needs of Hugging Face endpoints; see HuggingFace.

    A deadline cuts no method off: whoever calls it does that. It only tells which waits for another
    attempt are in vain.
    """

    def at_hand(self, endpoint: InferenceEndpoint, inputs: Sequence[str]) -> list[Numbers] | None:
        """What `embed` returns, where nobody has to be asked or waited for; else None."""

    async def embed(
        self, endpoint: InferenceEndpoint, inputs: Sequence[str], deadline: Deadline
    ) -> list[Numbers]: ...

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

    async def chat(
        self, endpoint: InferenceEndpoint, request: ChatRequest, deadline: Deadline
    ) -> Json: ...

    async def stream_completion(
        self, endpoint: InferenceEndpoint, text: str, deadline: Deadline
    ) -> Stream[list[str]]: ...

    async def stream_chat(
        self, endpoint: InferenceEndpoint, request: ChatRequest, deadline: Deadline
    ) -> Stream[Json]: ...

    def forget(self, inference_id: str) -> None:
        """The endpoint has been deleted: nothing needs to be remembered of it."""
