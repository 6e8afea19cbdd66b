"""Elasticsearch's errors as errors of the store: each names the cause and the remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from elasticsearch import ApiError, BadRequestError, UnsupportedProductError

from proxy.ground.errors import StoreDamaged, StoreError, StoreOverloaded
from proxy.store.elasticsearch.answers import INDEX_MISSING, type_of

PRIVILEGES: Final = ("read", "write", "create_index")  # that the store needs on its index
_PRIVILEGES: Final = f"[{', '.join(PRIVILEGES)}]"
_NO_SHARD: Final = (
    "search_phase_execution_exception",
    "no_shard_available_action_exception",
    "unavailable_shards_exception",
    # With status 404: the index is being opened.
    "illegal_index_shard_state_exception",
    "shard_not_found_exception",
)
_NO_MASTER: Final = (
    "master_not_discovered_exception",
    "cluster_block_exception",  # with status 503
    "process_cluster_event_timeout_exception",
)


class IndexUnavailable(StoreError):
    """No shard of the index has started: the index is being made, or its node is down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """Makes the errors; they name the index and the credentials."""

    index: str
    credentials: str | None  # the settings that hold them

    def translated(self, error: ApiError) -> StoreError:
        """The error for an answer that the client takes for one."""
        if isinstance(error, UnsupportedProductError):
            return StoreError(
                "The upstream is no Elasticsearch: check [upstream.url], or set [store.kind]"
            )
        return self.failed(error.meta.status, type_of(error))

    def not_created(self, error: BadRequestError) -> StoreError:
        """The error for a refusal to create the index."""
        match type_of(error):
            case "validation_exception":
                mend = "it may hold no more shards: delete indices or add a node"
            case "invalid_index_name_exception":
                mend = "[store.index] must be a name that an index can have"
            case _:
                mend = "an index template or setting of the cluster forbids it"
        return StoreError(f"Elasticsearch does not make the index [{self.index}]: {mend}")

    def failed(self, status: int, kind: str) -> StoreError:
        """The error for a status and the type of Elasticsearch's error."""
        index = self.index
        match status:
            case 401:
                return self._unknown()
            case 403 if kind == "cluster_block_exception":
                return StoreError(
                    f"The index [{index}] is blocked or closed: remove the block that GET /{index}/"
                    "_settings/index.blocks* or GET /_cluster/settings shows, or POST "
                    f"/{index}/_open"
                )
            case 403:
                return self._unprivileged()
            case 404 if kind == INDEX_MISSING:
                return StoreError(
                    f"The index [{index}] was just deleted: try again, and the proxy makes it anew"
                )
            case 429:
                return self._overloaded(kind)
            case 400 if kind == "index_closed_exception":
                return StoreError(
                    f"The index [{index}] is closed: open it with POST /{index}/_open"
                )
            case 400:
                return not_ours(index, "it does not take what the proxy writes or asks")
            case 404 | 503 if kind in _NO_SHARD:
                return IndexUnavailable(
                    f"No shard of the index [{index}] is available: GET "
                    "/_cluster/allocation/explain tells why"
                )
            case 503 if kind in _NO_MASTER:
                return StoreError(
                    "Elasticsearch has no master, or one that is too busy: check its nodes"
                )
        return StoreError(
            f"The endpoint store failed with status [{status}]: check Elasticsearch's log, and "
            "what stands between it and the proxy"
        )

    def _unknown(self) -> StoreError:
        wanted = f"with the privileges {_PRIVILEGES} on the index [{self.index}]"
        if self.credentials is None:
            return StoreError(
                "Elasticsearch asks the proxy for credentials of its own: set [upstream.api_key], "
                f"or [upstream.username] and [upstream.password], {wanted}"
            )
        return StoreError(
            f"Elasticsearch refuses the proxy's own credentials: {self.credentials} must be "
            f"valid, {wanted}"
        )

    def _unprivileged(self) -> StoreError:
        return StoreError(
            f"The proxy's own credentials lack rights on the index [{self.index}]: give "
            f"{self.credentials or 'anonymous users'} the privileges {_PRIVILEGES} there"
        )

    def _overloaded(self, kind: str) -> StoreOverloaded:
        match kind:
            case "cluster_block_exception":
                return StoreOverloaded(
                    f"The index [{self.index}] takes no changes because the disk of its node is "
                    "almost full: free space there, and Elasticsearch lifts the block by itself",
                    retry_after=30,  # how often it looks at its disks
                )
            case "circuit_breaking_exception":
                return StoreOverloaded("Elasticsearch is short of memory: try again later")
        return StoreOverloaded("Elasticsearch's queue is full: try again later")


def not_ours(index: str, difference: str) -> StoreDamaged:
    return StoreDamaged(
        f"The index [{index}] is not as the proxy makes it, and left alone: {difference}. Delete "
        "it if nothing in it is needed, or set [store.index] to another name; POST /_reindex "
        "copies endpoints into an index that the proxy has made"
    )
