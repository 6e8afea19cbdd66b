"""Where endpoint configurations live: one protocol, two stores, every record sealed.

StoreError                 503 the store cannot be reached, or answers what it should not
├── StoreOverloaded        429 it takes no changes for now: disk full, queue full
├── StoreDamaged           500 it is not as the proxy made it, and nothing is written to it
├── KeyMismatch            503 it holds records that the encryption key at hand does not open
└── RecordRefused          500 one record does not open, or is not what it claims to be
EndpointNotFound
└── AllLost                404 the store is empty, not only of this endpoint: its index is gone

Each text names the cause and what mends it, and quotes nothing of what the store answered: that can
contain records.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Protocol

from proxy.config import Config
from proxy.endpoints import InferenceEndpoint, TaskType, check_inference_id
from proxy.errors import ActionRequestInvalid, EndpointNotFound, StatusError, StoreError

if TYPE_CHECKING:
    from proxy.store.cached import CachedStore

Change = Callable[[InferenceEndpoint], InferenceEndpoint]

# Elasticsearch's limit of 512 bytes for a document id, less its own prefix `model_`.
MAX_ID_BYTES: Final = 506
MAX_ENDPOINTS: Final = 10_000  # that a list shows


class StoreOverloaded(StoreError):
    status = 429

    def __init__(self, reason: str, retry_after: int = 1) -> None:
        super().__init__(reason)
        self.headers = [("Retry-After", str(retry_after))]  # seconds


class StoreDamaged(StoreError):
    """The operator's data is not in order; what a process knows of it can still be used."""

    status = 500


class KeyMismatch(StoreError):
    """Raised by `open`, it is a reason not to start."""


class RecordRefused(StoreError):
    """A record that must not be used; deleting it is always possible."""

    status = 500


class AllLost(EndpointNotFound):
    """An index that is gone tells nothing of one endpoint: it can be used as it was known last."""

    def __init__(self, inference_id: str, hint: str | None = None) -> None:
        super().__init__(inference_id)
        if hint is not None:
            self.extra["hint"] = hint


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


def open_store(config: Config) -> CachedStore:
    """The configured store behind its cache, not yet opened."""
    from proxy.store.cached import CachedStore

    return CachedStore(_bare_store(config), config.store.freshness)


def _bare_store(config: Config) -> EndpointStore:
    if config.store_kind == "elasticsearch":
        from proxy.store.elasticsearch import ElasticsearchStore

        return ElasticsearchStore(config.upstream, config.store)
    from proxy.store.sqlite import SQLiteStore

    return SQLiteStore(config.store_kind.removeprefix("sqlite:"), config.store)


async def reseal(store: EndpointStore) -> int:
    """Seal every record again, under the current key; how many there were.

    The last step of a change of keys: after it, the previous one is needed no more.
    Raises: StoreError, after all others are sealed, if there are records that must not be used.
    """
    endpoints = await store.find()
    refused = left_out.get()
    for endpoint in endpoints:
        await store.update(endpoint.inference_id, lambda current: current)
    if refused:
        raise StoreError(
            f"{len(endpoints)} endpoints are sealed with the current key, but {shown(refused)} are "
            "not, as their records cannot be used: GET one to see why, DELETE what is lost"
        )
    return len(endpoints)


def is_storable(inference_id: str) -> bool:
    """Whether an endpoint of that id can exist at all."""
    try:
        check_inference_id(inference_id)
    except ActionRequestInvalid:
        return False
    return len(inference_id) <= MAX_ID_BYTES  # such an id is ASCII


def check_storable(endpoint: InferenceEndpoint) -> None:
    """Raises: StatusError 500 for an id that is too long, as Elasticsearch does."""
    if not is_storable(endpoint.inference_id):
        raise StatusError(500, f"Failed to store inference endpoint [{endpoint.inference_id}]")


def shown(ids: Collection[str], most: int = 10) -> str:
    """Ids for a text or a header; what is no id was written by somebody else, and is counted."""
    named = [one for one in ids if is_storable(one)][:most]
    more = len(ids) - len(named)
    return f"[{', '.join([*named, *([f'{more} more'] if more else [])])}]"
