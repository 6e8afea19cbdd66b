"""Endpoints in a hidden index of the upstream: the store that any number of proxies can share.

Works on 7.17, 8 and 9. The client has the proxy's own credentials, and is used for nothing else.
Whatever Elasticsearch answers in a failure is mapped, never relayed or logged: its texts can
contain documents.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

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
)
from proxy.store.sealed import Keyring, Record, load_keyring, make_keyring, tampered
from proxy.tls import upstream_tls

if TYPE_CHECKING:
    from elasticsearch import ApiError, AsyncElasticsearch

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

log = logging.getLogger(__name__)


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
        except (KeyMismatch, ConfigError):
            await self.close()
            raise
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
        keys = await self._checked_keys()
        query = {"match_all": {}} if task_type is None else {"term": {"task_type": task_type}}
        found = await self._search(query=query, size=MAX_ENDPOINTS, sort=[{"id": "asc"}])
        return [keys.open_(_record(hit)) for hit in found]

    async def update(self, inference_id: str, change: Change) -> InferenceEndpoint:
        return await self._to_the_end(self._update(inference_id, change))

    async def delete(self, inference_id: str) -> None:
        if not is_storable(inference_id):
            raise EndpointNotFound(inference_id)
        await self._to_the_end(self._delete(inference_id))

    # Writing

    async def _create(self, keys: Keyring, endpoint: InferenceEndpoint) -> None:
        from elasticsearch import ConflictError

        # Another proxy may have written with another key since this one started; and an index that
        # Elasticsearch made by itself would be neither hidden nor strict.
        held = await self._held_keys()
        if held is None:
            await self._create_index()
        keys.check(held or (), self._config.index)
        async with self._calling() as client:
            try:
                await client.create(
                    index=self._config.index,
                    id=endpoint.inference_id,
                    document=_document(keys.seal(endpoint)),
                    refresh=True,
                    timeout=self._server_timeout,
                )
            except ConflictError:
                raise EndpointAlreadyExists(endpoint.inference_id) from None

    async def _create_index(self) -> None:
        from elasticsearch import BadRequestError

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
        from elasticsearch import ConflictError

        for _ in range(_UPDATE_ATTEMPTS):
            endpoint, place = await self._get(inference_id)
            changed = change(endpoint)
            async with self._calling() as client:
                try:
                    await client.index(
                        index=self._config.index,
                        id=inference_id,
                        document=_document((await self._checked_keys()).seal(changed)),
                        if_seq_no=place["_seq_no"],
                        if_primary_term=place["_primary_term"],
                        refresh=True,
                        timeout=self._server_timeout,
                    )
                    return changed
                except ConflictError:
                    continue
        raise StatusError(
            409, f"Inference endpoint [{inference_id}] is being changed by others, try again"
        )

    async def _delete(self, inference_id: str) -> None:
        from elasticsearch import NotFoundError

        async with self._calling() as client:
            try:
                await client.delete(
                    index=self._config.index,
                    id=inference_id,
                    refresh=True,
                    timeout=self._server_timeout,
                )
            except NotFoundError:
                raise EndpointNotFound(inference_id) from None

    async def _to_the_end(self, write: Awaitable[T]) -> T:
        """A write that goes on when its caller leaves; `close` waits for it."""
        writing = asyncio.ensure_future(write)
        self._writes.add(writing)
        writing.add_done_callback(self._writes.discard)
        return await asyncio.shield(writing)

    # Reading

    async def _get(self, inference_id: str) -> tuple[InferenceEndpoint, Mapping[str, Any]]:
        """The endpoint, and the document with its place in the index's history."""
        from elasticsearch import NotFoundError

        if not is_storable(inference_id):
            raise EndpointNotFound(inference_id)
        keys = await self._checked_keys()
        async with self._calling() as client:
            try:
                document = await client.get(index=self._config.index, id=inference_id)
            except NotFoundError:
                raise EndpointNotFound(inference_id) from None
        return keys.open_(_record(document.body)), document.body

    async def _search(self, **what: Any) -> list[Any]:
        """The hits; none without an index."""
        answer = await self._answer(**what)
        return [] if answer is None else list(answer["hits"]["hits"])

    async def _answer(self, **what: Any) -> Any:
        """What a search answers, None when there is no index."""
        from elasticsearch import NotFoundError

        async with self._calling() as client:
            try:
                answer = await client.search(index=self._config.index, **what)
            except NotFoundError:
                return None
        # Half an answer would hide endpoints.
        if answer["timed_out"] or answer["_shards"]["failed"]:
            raise StoreError("The endpoint store answered in part only")
        return answer.body

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
        if self._keys is None:
            return make_keyring(self._generated, held, self._config.index)
        self._keys.check(held, self._config.index)
        return self._keys

    async def _held_keys(self) -> set[str] | None:
        """The ids of the keys that records are sealed with, None when there is no index."""
        by_key = {"keys": {"terms": {"field": "key_id", "size": 100}}}
        answer = await self._answer(size=0, aggregations=by_key)
        if answer is None:
            return None
        return {bucket["key"] for bucket in answer["aggregations"]["keys"]["buckets"]}

    # Calling

    @asynccontextmanager
    async def _calling(self) -> AsyncIterator[AsyncElasticsearch]:
        """The client; its errors leave as errors of ours."""
        from elastic_transport import ConnectionTimeout, TransportError
        from elasticsearch import ApiError

        if self._client is None:
            raise StoreError("The endpoint store is not open")
        try:
            yield self._client
        except ApiError as error:
            self._raise_translated(error)
        except ConnectionTimeout:
            raise StoreError("The endpoint store did not answer in time") from None
        except TransportError as error:
            log.warning("the endpoint store cannot be reached: %s", type(error).__name__)
            raise StoreError("The endpoint store cannot be reached") from None

    def _raise_translated(self, error: ApiError) -> NoReturn:
        """Source: spec of the failures by status, in docs/store.md."""
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
        raise StoreError(f"The endpoint store failed with status [{status}]") from None


def _connect(upstream: UpstreamConfig, timeout: float) -> AsyncElasticsearch:
    """A client that says only what every version understands, and never says it twice."""
    # Imported here, because it takes longer than all the rest of the start.
    from elasticsearch import AsyncElasticsearch

    from proxy.store.transport import PlainTransport

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


def _type_of(error: ApiError) -> str:
    """The `type` of Elasticsearch's error, if it looks like one."""
    match error.body:
        case {"error": {"type": str(kind)}} if re.fullmatch(r"[a-z_]{1,80}", kind):
            return kind
    return "unknown"
