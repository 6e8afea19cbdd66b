"""Endpoints in a hidden index of the upstream: the store that any number of proxies can share.

Works on 7.17, 8 and 9. The client has the proxy's own credentials, and is used for nothing else.
Whatever Elasticsearch answers in a failure is mapped, never relayed or logged: its texts can
contain documents. Importing the client takes longer than all the rest of a start, so this module is
imported only where its store is configured.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

from elastic_transport import ConnectionTimeout, ObjectApiResponse, TransportError
from elasticsearch import (
    ApiError,
    AsyncElasticsearch,
    BadRequestError,
    ConflictError,
    NotFoundError,
    UnsupportedProductError,
)
from yarl import URL

from proxy.config import ConfigError, StoreConfig, UpstreamConfig, state_folder
from proxy.endpoints import InferenceEndpoint, TaskType
from proxy.errors import EndpointAlreadyExists, EndpointNotFound, StatusError, StoreError
from proxy.store import (
    MAX_ENDPOINTS,
    Change,
    KeyMismatch,
    StoreOverloaded,
    check_storable,
    is_storable,
    left_out,
)
from proxy.store.sealed import Keyring, Record, load_keyring, make_keyring, tampered
from proxy.store.transport import PlainTransport
from proxy.tls import upstream_tls

T = TypeVar("T")

SETTINGS: Final = {"index": {"hidden": True, "number_of_shards": 1, "auto_expand_replicas": "0-1"}}
MAPPINGS: Final = {
    "dynamic": "strict",
    "properties": {
        "id": {"type": "keyword"},
        "task_type": {"type": "keyword"},
        "key_id": {"type": "keyword"},
        "blob": {"type": "binary", "doc_values": False},
    },
}
_UPDATE_ATTEMPTS: Final = 5
_PAUSES: Final = (0.1, 0.2, 0.4, 0.8)  # seconds
_NO_SHARD: Final = (
    "search_phase_execution_exception",
    "no_shard_available_action_exception",
    "unavailable_shards_exception",
)

log = logging.getLogger(__name__)


class _Unreachable(StoreError):
    """There is no connection to Elasticsearch."""


class _IndexUnavailable(StoreError):
    """None of its shards has started: it is being made, or its node is gone."""


class ElasticsearchStore:
    """One document per endpoint, its id the inference id.

    The encryption key, if none is configured, lies in the state folder of this machine.
    """

    def __init__(
        self, upstream: UpstreamConfig, config: StoreConfig, *, folder: Path | None = None
    ) -> None:
        self._upstream = upstream
        self._config = config
        self._generated = (folder or state_folder()) / "encryption.key"
        # Elasticsearch gives up first, so that its answer tells what went wrong.
        self._server_timeout = f"{int(config.timeout * 900)}ms"
        self._client: AsyncElasticsearch | None = None
        self._keys: Keyring | None = None
        self._is_checked = False
        self._checking = asyncio.Lock()
        self._writes: set[asyncio.Future[Any]] = set()

    async def open(self) -> None:
        self._keys = load_keyring(self._config, self._generated)
        self._client = _connect(self._upstream, self._config.timeout)
        try:
            await self._checked_keys()
        except KeyMismatch:
            await self.close()
            raise
        except _Unreachable:
            pass  # as the whole upstream is, which is said elsewhere; every call tries again
        except StoreError as error:
            log.warning("%s; starting all the same, and trying again with every call", error)

    async def close(self) -> None:
        await asyncio.gather(*self._writes, return_exceptions=True)  # their callers have left
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def create(self, endpoint: InferenceEndpoint) -> None:
        check_storable(endpoint)
        keys = await self._checked_keys()
        await self._to_the_end(self._create(keys, endpoint))

    async def get(self, inference_id: str) -> InferenceEndpoint:
        return (await self._get(inference_id))[0]

    async def find(self, task_type: TaskType | None = None) -> list[InferenceEndpoint]:
        left_out.set(())
        keys = await self._checked_keys()
        query = {"match_all": {}} if task_type is None else {"term": {"task_type": task_type}}
        match await self._search(query=query, size=MAX_ENDPOINTS, sort=[{"id": "asc"}]):
            case None:
                return []
            case {"hits": {"hits": list(hits)}}:
                endpoints, refused = keys.open_all(map(_record, hits))
                left_out.set(tuple(refused))
                return endpoints
        raise _unexpected()

    async def update(self, inference_id: str, change: Change) -> InferenceEndpoint:
        return await self._to_the_end(self._update(inference_id, change))

    async def delete(self, inference_id: str) -> None:
        if not is_storable(inference_id):
            raise EndpointNotFound(inference_id)
        await self._to_the_end(self._delete(inference_id))

    # Writing

    async def _create(self, keys: Keyring, endpoint: InferenceEndpoint) -> None:
        # Another proxy may have written with another key since this one started; and an index that
        # Elasticsearch made by itself would be neither hidden nor strict.
        held = await self._held_keys()
        if held is None:
            await self._create_index()
        keys.check(held or (), self._config.index)
        await self._create_document(keys.seal(endpoint))

    async def _create_document(self, record: Record) -> None:
        async with self._calling() as client:
            try:
                answer = await client.create(
                    index=self._config.index,
                    id=record.inference_id,
                    document=_document(record),
                    refresh=True,
                    timeout=self._server_timeout,
                )
            except ConflictError:
                raise EndpointAlreadyExists(record.inference_id) from None
        _expect(answer, "created")

    async def _create_index(self) -> None:
        async with self._calling() as client:
            try:
                await client.indices.create(
                    index=self._config.index,
                    settings=SETTINGS,
                    mappings=MAPPINGS,
                    timeout=self._server_timeout,
                )
            except BadRequestError as error:
                if _type_of(error) != "resource_already_exists_exception":
                    raise

    async def _update(self, inference_id: str, change: Change) -> InferenceEndpoint:
        for _ in range(_UPDATE_ATTEMPTS):
            endpoint, place = await self._get(inference_id)
            changed = change(endpoint)
            if await self._replace((await self._checked_keys()).seal(changed), place):
                return changed
        raise StatusError(
            409, f"Inference endpoint [{inference_id}] is being changed by others, try again"
        )

    async def _replace(self, record: Record, place: _Place) -> bool:
        """Whether the document was still at its place, and is this record now."""
        async with self._calling() as client:
            try:
                answer = await client.index(
                    index=self._config.index,
                    id=record.inference_id,
                    document=_document(record),
                    if_seq_no=place.seq_no,
                    if_primary_term=place.primary_term,
                    refresh=True,
                    timeout=self._server_timeout,
                )
            except ConflictError:
                return False
        _expect(answer, "updated")
        return True

    async def _delete(self, inference_id: str) -> None:
        async with self._calling() as client:
            try:
                answer = await client.delete(
                    index=self._config.index,
                    id=inference_id,
                    refresh=True,
                    timeout=self._server_timeout,
                )
            except NotFoundError as error:
                if _says_missing(error):
                    raise EndpointNotFound(inference_id) from None
                raise
        _expect(answer, "deleted")

    async def _to_the_end(self, write: Awaitable[T]) -> T:
        """A write that goes on when its caller leaves; `close` waits for it."""
        writing = asyncio.ensure_future(write)
        self._writes.add(writing)
        writing.add_done_callback(self._writes.discard)
        return await asyncio.shield(writing)

    # Reading

    async def _get(self, inference_id: str) -> tuple[InferenceEndpoint, _Place]:
        if not is_storable(inference_id):
            raise EndpointNotFound(inference_id)
        keys = await self._checked_keys()
        async with self._calling() as client:
            try:
                answer = await client.get(index=self._config.index, id=inference_id)
            except NotFoundError as error:
                if _says_missing(error):
                    raise EndpointNotFound(inference_id) from None
                raise
        match answer.body:
            case {"_id": str(found), "_seq_no": int(seq_no), "_primary_term": int(term)} if (
                found == inference_id
            ):
                return keys.open_(_record(answer.body)), _Place(seq_no, term)
        raise _unexpected()

    async def _search(self, **what: Any) -> Mapping[str, Any] | None:
        """What a search answers, None when there is no index."""
        async with self._calling() as client:
            try:
                answer = await client.search(index=self._config.index, **what)
            except NotFoundError as error:
                if _says_missing(error):
                    return None
                raise
        body: Mapping[str, Any] = answer.body
        match body:
            case {"timed_out": False, "_shards": {"failed": 0}}:
                return body
        raise _unexpected()  # half an answer would hide endpoints

    # The key

    async def _checked_keys(self) -> Keyring:
        """The keys, once it is known that they open what the store holds."""
        if not self._is_checked or self._keys is None:
            async with self._checking:
                if not self._is_checked or self._keys is None:
                    self._keys = await self._check_keys()
                    self._is_checked = True
        return self._keys

    async def _check_keys(self) -> Keyring:
        held = await self._held_keys() or ()
        if self._keys is not None:
            self._keys.check(held, self._config.index)
            return self._keys
        try:
            return make_keyring(self._generated, held, self._config.index)
        except ConfigError as error:
            raise KeyMismatch(str(error)) from None

    async def _held_keys(self) -> set[str] | None:
        """The ids of the keys that records are sealed with, None when there is no index.

        Waits for an index that another proxy is just making.
        """
        for pause in _PAUSES:
            try:
                return await self._read_held_keys()
            except _IndexUnavailable:
                await asyncio.sleep(pause)
        return await self._read_held_keys()

    async def _read_held_keys(self) -> set[str] | None:
        by_key = {"keys": {"terms": {"field": "key_id", "size": 100}}}
        match await self._search(size=0, aggregations=by_key):
            case None:
                return None
            case {"aggregations": {"keys": {"buckets": list(buckets)}}}:
                return {bucket["key"] for bucket in buckets}
        raise _unexpected()

    # Calling

    @asynccontextmanager
    async def _calling(self) -> AsyncIterator[AsyncElasticsearch]:
        """The client; its errors leave as errors of ours."""
        if self._client is None:
            raise StoreError("The endpoint store is not open")
        try:
            yield self._client
        except ApiError as error:
            self._raise_translated(error)
        except ConnectionTimeout:
            raise StoreError("The endpoint store did not answer in time") from None
        except TransportError as error:
            log.debug("the endpoint store cannot be reached: %s", type(error).__name__)
            raise _Unreachable("The endpoint store cannot be reached") from None

    def _raise_translated(self, error: ApiError) -> NoReturn:
        """By status; only what looks like the name of an error is ever shown of the answer."""
        if isinstance(error, UnsupportedProductError):
            raise StoreError("The upstream is no Elasticsearch") from None
        kind, status = _type_of(error), error.meta.status
        log.warning("the endpoint store answered %d %s", status, kind)
        index = self._config.index
        match status:
            case 401:
                text = "Elasticsearch refuses the proxy's own credentials: check [upstream.api_key]"
                raise StoreError(f"{text}, [upstream.username] and [upstream.password]") from None
            case 403 if kind != "cluster_block_exception":
                raise StoreError(
                    f"The proxy's own credentials lack rights on index [{index}]: they need "
                    "[read, write, create_index]"
                ) from None
            case 403:
                raise StoreError(f"The index [{index}] is blocked against changes") from None
            case 429:
                raise StoreOverloaded(
                    "The endpoint store takes no changes for now: its disk or queue is full"
                ) from None
            case 503 if kind in _NO_SHARD:
                raise _IndexUnavailable(f"The index [{index}] is not available") from None
        raise StoreError(f"The endpoint store failed with status [{status}]") from None


def _connect(upstream: UpstreamConfig, timeout: float) -> AsyncElasticsearch:
    """A client that says only what every version understands, and never says it twice."""
    assert upstream.url is not None
    url = URL(upstream.url)
    options: dict[str, Any] = {}
    if upstream.api_key is not None:
        options["api_key"] = upstream.api_key
    elif upstream.username is not None:
        options["basic_auth"] = (upstream.username, upstream.password or "")
    if (context := upstream_tls(upstream)) is not None:
        options["ssl_context"] = context
    return AsyncElasticsearch(
        f"{url.scheme}://{url.host_subcomponent}:{url.port}",
        transport_class=PlainTransport,
        request_timeout=timeout,
        max_retries=0,
        **options,
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the index's history a document was read."""

    seq_no: int
    primary_term: int


def _document(record: Record) -> dict[str, str]:
    return {
        "id": record.inference_id,
        "task_type": record.task_type,
        "key_id": record.key_id,
        "blob": base64.b64encode(record.blob).decode(),
    }


def _record(hit: Mapping[str, Any]) -> Record:
    """A document as it should be; whoever may write to the index could have put anything there."""
    match hit:
        case {
            "_id": str(inference_id),
            "_source": {
                "id": str(named),
                "task_type": str(task_type),
                "key_id": str(key_id),
                "blob": str(blob),
            },
        } if named == inference_id:
            try:
                sealed = base64.b64decode(blob, validate=True)
            except (ValueError, binascii.Error):
                raise tampered(inference_id) from None
            return Record(
                inference_id=inference_id, task_type=task_type, key_id=key_id, blob=sealed
            )
    raise tampered(str(hit.get("_id")))


def _expect(answer: ObjectApiResponse[Any], result: str) -> None:
    """Nothing is done before Elasticsearch says so."""
    match answer.body:
        case {"result": found} if found == result:
            return
    raise _unexpected()


def _unexpected() -> StoreError:
    return StoreError("The endpoint store did not answer what it was asked")


def _says_missing(error: NotFoundError) -> bool:
    """Whether it was Elasticsearch that found no document, or no index; a gateway has 404s, too."""
    match error.body:
        case {"found": False} | {"result": "not_found"}:
            return True
    return _type_of(error) == "index_not_found_exception"


def _type_of(error: ApiError) -> str:
    """The `type` of Elasticsearch's error, if it looks like one."""
    match error.body:
        case {"error": {"type": str(kind)}} if re.fullmatch(r"[a-z_]{1,80}", kind):
            return kind
    return "unknown"
