"""Records as documents of the index, one each, its id the inference id."""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import AsyncGenerator, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from elasticsearch import NotFoundError

from proxy.ground.errors import EndpointAlreadyExists, EndpointNotFound
from proxy.store.elasticsearch.answers import (
    INDEX_MISSING,
    lacks_document,
    outcome_of,
    unexpected,
)
from proxy.store.elasticsearch.connection import Connection
from proxy.store.elasticsearch.index import Index, IndexMissing, patiently
from proxy.store.elasticsearch.mapping import ONLY_AS_MAPPED
from proxy.store.elasticsearch.transport import JSON, LINES, TOO_LARGE
from proxy.store.sealed import NOTE, Record, tampered

PAGE: Final = 250  # records
NOTES: Final[Mapping[str, Any]] = {"term": {"task_type": NOTE}}
ENDPOINTS: Final[Mapping[str, Any]] = {"bool": {"must_not": NOTES}}

log = logging.getLogger(__name__)


def of_keys(key_ids: Collection[str]) -> Mapping[str, Any]:
    """A query for the endpoints that say of themselves that one of these keys opens them."""
    return {"bool": {"filter": {"terms": {"key_id": list(key_ids)}}, "must_not": NOTES}}


def of_others(key_ids: Collection[str]) -> Mapping[str, Any]:
    """A query for all other documents, whatever they are, but notes."""
    return {"bool": {"must_not": [of_keys(key_ids), NOTES]}}


@dataclass(frozen=True, slots=True)
class Version:
    """Which version of a document was read."""

    seq_no: int
    primary_term: int


class Documents:
    """Reads and writes records.

    A change is sent only once, and counts as made only when Elasticsearch confirms it.
    """

    def __init__(self, connection: Connection, index: Index) -> None:
        self._connection = connection
        self._index = index

    async def read(self, inference_id: str) -> tuple[Record, Version]:
        """Raises: EndpointNotFound; StoreMissing without an index; RecordRefused if too large."""
        return await patiently(lambda: self._read(inference_id))

    async def _read(self, inference_id: str) -> tuple[Record, Version]:
        try:
            async with self._index.calling() as client:
                try:
                    answer = await client.get(index=self._index.name, id=inference_id)
                except NotFoundError as error:
                    if lacks_document(error):
                        raise EndpointNotFound(inference_id) from None
                    raise
        except IndexMissing:
            raise self._index.not_found(inference_id) from None
        if answer.body == TOO_LARGE:
            raise tampered(inference_id)
        match answer.body:
            case {"_id": str(found), "_seq_no": int(seq_no), "_primary_term": int(term)} if (
                found == inference_id
            ):
                return record_of(answer.body), Version(seq_no, term)
        raise unexpected()

    async def pages(
        self, query: Mapping[str, Any] = ENDPOINTS, *, size: int = PAGE
    ) -> AsyncGenerator[list[Record], None]:
        """The records that match, those first that were changed longest ago; none without an index.

        What others have written may be of any size: a page that is too large is asked for again in
        parts, and a record that is too large has no blob.
        """
        if not await self._index.exists():
            return
        after: dict[str, Any] = {}
        while True:
            # Of one shard, as the index has, no two documents have the same `_seq_no`, and a change
            # moves a document to where it is still to be read.
            wanted = {"query": query, "sort": ["_seq_no", "id"], **after}
            found = await self._search(size=size, source=True, **wanted)
            if found == TOO_LARGE and size > 1:
                size //= 2
                continue
            if found == TOO_LARGE:
                found = await self._search(size=1, source=False, **wanted)
            hits = _hits(found)
            yield [record_of(hit) for hit in hits]
            if len(hits) < size:
                return
            after, size = {"search_after": hits[-1]["sort"]}, min(2 * size, PAGE)

    async def count(self, query: Mapping[str, Any], named: int) -> tuple[list[str], int]:
        """The ids of some documents that match, and the number of all."""
        if not await self._index.exists():
            return [], 0
        found = await self._search(query=query, size=named, source=False, track_total_hits=True)
        match found:
            case None:
                return [], 0
            case {"hits": {"total": {"value": int(total)}}}:
                return [str(hit.get("_id")) for hit in _hits(found)], total
        raise unexpected()

    async def _search(self, **what: Any) -> Mapping[str, Any] | None:
        """The answer to a search, None when there is no index; TOO_LARGE."""
        try:
            async with self._index.calling() as client:
                answer = await client.search(index=self._index.name, **what)
        except IndexMissing:
            return None
        body: Mapping[str, Any] = answer.body
        if body == TOO_LARGE:
            return TOO_LARGE
        match body:
            case {"timed_out": False, "_shards": {"failed": 0}}:
                return body
        raise unexpected()  # a partial result would hide endpoints

    async def create(self, record: Record) -> None:
        """Raises: EndpointAlreadyExists."""
        if not await self._write("create", record, "created"):
            raise EndpointAlreadyExists(record.inference_id)

    async def replace(self, record: Record, version: Version) -> bool:
        """Whether the record took the place of that version; if not, another change was first."""
        return await self._write(
            "index",
            record,
            "updated",
            if_seq_no=version.seq_no,
            if_primary_term=version.primary_term,
        )

    async def put(self, record: Record) -> None:
        """Write the record, whatever is there."""
        about = {"_id": record.inference_id, **ONLY_AS_MAPPED}
        status, result = await self._change("index", about, document_of(record))
        if result != "updated":
            self._expect("created", status, result)

    async def delete(self, inference_id: str) -> None:
        """Raises: EndpointNotFound; StoreMissing where there is no index."""
        await self._index.exists()  # a document in somebody else's index must not be deleted
        found_before = self._index.found
        status, result = await self._change("delete", {"_id": inference_id})
        if status == 404 and result == "not_found":
            raise EndpointNotFound(inference_id)
        if status == 404 and result == INDEX_MISSING:
            self._index.note_missing(found_before)
            raise self._index.not_found(inference_id)
        self._expect("deleted", status, result)

    async def _write(self, action: str, record: Record, result: str, **version: int) -> bool:
        """Whether the action had this result; False if it met another version of the document."""
        about = {"_id": record.inference_id, **version, **ONLY_AS_MAPPED}
        status, found = await self._change(action, about, document_of(record))
        if status == 409:
            return False
        self._expect(result, status, found)
        return True

    async def _change(
        self, action: str, about: Mapping[str, Any], *document: Mapping[str, Any]
    ) -> tuple[int, str]:
        """Status and result of one action.

        It is a POST because aiohttp repeats a PUT or DELETE when the connection breaks, and the
        answer would then be about the second one. The client's own `bulk` method is a PUT.
        """
        async with self._connection.calling() as client:
            answer = await client.perform_request(
                "POST",
                f"{self._connection.path}/_bulk",
                params={"refresh": "true", "timeout": self._connection.server_timeout},
                headers={"accept": JSON, "content-type": LINES},
                body=[{action: about}, *document],
            )
        return outcome_of(answer.body, action)

    def _expect(self, result: str, status: int, found: str) -> None:
        if status >= 400:
            log.warning("the endpoint store answered a change with %d %s", status, found)
            raise self._connection.failures.failed(status, found)
        if found != result:
            raise unexpected()


def document_of(record: Record) -> dict[str, str]:
    return {
        "id": record.inference_id,
        "task_type": record.task_type,
        "key_id": record.key_id,
        "blob": base64.b64encode(record.blob).decode(),
    }


def record_of(hit: Mapping[str, Any]) -> Record:
    """The record in a document; one that no key opens if the document is of another shape.

    Who may write to the index could have put anything there.
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


def _hits(found: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Of the answer to a search. Raises: StoreError."""
    match found:
        case None:
            return []
        case {"hits": {"hits": list(hits)}}:
            return hits
    raise unexpected()
