"""What Elasticsearch's answers to the store mean: records out of documents, errors out of the rest.

Pure functions. Of an error only its status and what looks like the name of its type are ever used:
Elasticsearch's texts can quote documents. Each error of ours names the cause and what mends it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from elasticsearch import ApiError, BadRequestError, NotFoundError, UnsupportedProductError

from proxy.errors import StoreDamaged, StoreError, StoreOverloaded
from proxy.store.sealed import Record

PRIVILEGES: Final = "[read, write, create_index]"
INDEX_MISSING: Final = "index_not_found_exception"
_NO_SHARD: Final = (
    "search_phase_execution_exception",
    "no_shard_available_action_exception",
    "unavailable_shards_exception",
    # Of status 404: an index that is just being opened.
    "illegal_index_shard_state_exception",
    "shard_not_found_exception",
)
_NO_MASTER: Final = (
    "master_not_discovered_exception",
    "cluster_block_exception",  # of status 503
    "process_cluster_event_timeout_exception",
)


class IndexUnavailable(StoreError):
    """None of its shards has started: it is being made, or its node is gone."""


# Records


def document_of(record: Record) -> dict[str, str]:
    return {
        "id": record.inference_id,
        "task_type": record.task_type,
        "key_id": record.key_id,
        "blob": base64.b64encode(record.blob).decode(),
    }


def record_of(hit: Mapping[str, Any]) -> Record:
    """The record in a document; one that no key opens if it is not as it should be.

    Whoever may write to the index could have put anything there.
    """
    inference_id = str(hit.get("_id"))
    match hit.get("_source"):
        case {
            "id": str(named),
            "task_type": str(task_type),
            "key_id": str(key_id),
            "blob": str(blob),
        } if named == inference_id:
            return Record(
                inference_id=inference_id, task_type=task_type, key_id=key_id, blob=_bytes(blob)
            )
    return Record(inference_id=inference_id, task_type="", key_id="", blob=b"")


def _bytes(blob: str) -> bytes:
    try:
        return base64.b64decode(blob, validate=True)
    except (ValueError, binascii.Error):
        return b""


def keys_in(buckets: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The ids of keys out of buckets by `key_id`, each with a `sample` of its documents.

    A damaged record, whose parts contradict each other, tells nothing of keys.
    """
    for bucket in buckets:
        if any(record_of(hit).names_its_key for hit in bucket["sample"]["hits"]["hits"]):
            yield bucket["key"]


# Answers


def outcome_of(body: object, action: str) -> tuple[int, str]:
    """Status and result, or the error's type, of the one `action` in the answer to `_bulk`."""
    match body:
        case {"items": [dict(item)]}:
            match item.get(action):
                case {"status": int(status), "error": {"type": str(kind)}}:
                    return status, _name(kind)
                case {"status": int(status), "result": str(result)}:
                    return status, result
    raise unexpected()


def unexpected() -> StoreError:
    return StoreError(
        "The endpoint store did not answer what it was asked: check that [upstream.url] leads to "
        "Elasticsearch itself, and its log"
    )


def says_missing(error: NotFoundError) -> bool:
    """Whether it was Elasticsearch that found no document, or no index; a gateway has 404s, too."""
    match error.body:
        case {"found": False}:
            return True
    return lacks_index(error)


def lacks_index(error: NotFoundError) -> bool:
    return type_of(error) == INDEX_MISSING


def type_of(error: ApiError) -> str:
    """The `type` of Elasticsearch's error, if it looks like one; of a search, that of its cause."""
    match error.body:
        case {
            "error": {
                "type": "search_phase_execution_exception",
                "root_cause": [{"type": str(kind)}, *_],
            }
        }:
            return _name(kind)
        case {"error": {"type": str(kind)}}:
            return _name(kind)
    return "unknown"


def _name(kind: str) -> str:
    return kind if re.fullmatch(r"[a-z_]{1,80}", kind) else "unknown"


# Errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked, and as whom: what the errors about it have to name."""

    index: str
    credentials: str | None  # the settings that hold them

    def translated(self, error: ApiError) -> StoreError:
        """The error of ours for one of Elasticsearch's."""
        if isinstance(error, UnsupportedProductError):
            return StoreError(
                "The upstream is no Elasticsearch: check [upstream.url], or set [store.kind]"
            )
        return self.failed(error.meta.status, type_of(error))

    def not_made(self, error: BadRequestError) -> StoreError:
        """The same where it was asked to make the index."""
        match type_of(error):
            case "validation_exception":
                mend = "it may hold no more shards: delete indices or add a node"
            case "invalid_index_name_exception":
                mend = "[store.index] must be a name that an index can have"
            case _:
                mend = "an index template or setting of the cluster forbids it"
        return StoreError(f"Elasticsearch does not make the index [{self.index}]: {mend}")

    def failed(self, status: int, kind: str) -> StoreError:
        """The same for a status and the type of an error."""
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
        wanted = f"with the privileges {PRIVILEGES} on the index [{self.index}]"
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
            f"{self.credentials or 'anonymous users'} the privileges {PRIVILEGES} there"
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


def lost(index: str) -> str:
    """For the log, and for callers who miss an endpoint."""
    return (
        f"the index [{index}] is gone, and all inference endpoints with it: restore it from a "
        "snapshot, or create them again"
    )
