"""Endpoints in a hidden index of the upstream: the store that any number of proxies can share.

Works on 7.17, 8 and 9. The client has the proxy's own credentials, and is used for nothing else.
Whatever Elasticsearch answers in a failure is mapped, never relayed or logged: its texts can
contain documents. Importing the client takes longer than all the rest of a start, so this module is
imported only where its store is configured.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

from elastic_transport import ConnectionTimeout, SerializationError, TlsError, TransportError
from elasticsearch import (
    ApiError,
    AsyncElasticsearch,
    BadRequestError,
    NotFoundError,
)
from yarl import URL

from proxy.config import ConfigError, StoreConfig, UpstreamConfig, state_folder
from proxy.errors import (
    AllLost,
    EndpointAlreadyExists,
    EndpointNotFound,
    KeyMismatch,
    StatusError,
    StoreError,
)
from proxy.inference.endpoints import InferenceEndpoint, TaskType
from proxy.inference.ids import check_storable, is_storable
from proxy.inference.ports import MAX_ENDPOINTS, Change, Known, Listing
from proxy.store.answers import (
    INDEX_MISSING,
    Asked,
    IndexUnavailable,
    document_of,
    keys_in,
    lacks_index,
    lost,
    outcome_of,
    record_of,
    says_missing,
    type_of,
    unexpected,
)
from proxy.store.index import FIELDS, MAPPINGS, ONLY_AS_MAPPED, SETTINGS, check_fields
from proxy.store.keys import load_keyring, make_keyring
from proxy.store.sealed import Keyring, Record
from proxy.store.transport import JSON, LINES, PlainTransport
from proxy.upstream.tls import upstream_tls

T = TypeVar("T")

_UPDATE_ATTEMPTS: Final = 5
_PAUSES: Final = (0.1, 0.2, 0.4, 0.8)  # seconds

log = logging.getLogger(__name__)


class _Unreachable(StoreError):
    """There is no connection to Elasticsearch."""


class ElasticsearchStore:
    """One document per endpoint, its id the inference id.

    The encryption key, if none is configured, lies in the state folder of this machine.
    """

    def __init__(
        self, upstream: UpstreamConfig, config: StoreConfig, *, folder: Path | None = None
    ) -> None:
        self._upstream = upstream
        self._config = config
        self._asked = Asked(index=config.index, credentials=_credentials(upstream))
        self._generated = (folder or state_folder()) / "encryption.key"
        # Elasticsearch gives up first, so that its answer tells what went wrong.
        self._server_timeout = f"{int(config.timeout * 900)}ms"
        self._client: AsyncElasticsearch | None = None
        self._keys: Keyring | None = None
        self._is_checked = False
        self._had_index = False  # when it was asked last
        self._is_lost = False  # it was there, and is no more
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
        check_storable(endpoint.inference_id)
        keys = await self._checked_keys()
        await self._to_the_end(self._create(keys, endpoint))

    async def get(self, inference_id: str) -> Known:
        return Known((await self._get(inference_id))[0])

    async def find(self, task_type: TaskType | None = None) -> Listing:
        keys = await self._checked_keys()
        if not await self._has_index():
            return Listing([])
        match await self._search(size=MAX_ENDPOINTS, sort=[{"id": "asc"}]):
            case None:
                return Listing([])
            case {"hits": {"hits": list(hits)}}:
                return keys.open_all(map(record_of, hits), task_type)
        raise unexpected()

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
        if not await self._write("create", record, "created"):
            raise EndpointAlreadyExists(record.inference_id)

    async def _write(self, action: str, record: Record, result: str, **place: int) -> bool:
        """Whether it came to that result; if not, another document was there."""
        about = {"_id": record.inference_id, **place, **ONLY_AS_MAPPED}
        status, found = await self._change(action, about, document_of(record))
        if status == 409:
            return False
        self._expect(result, status, found)
        return True

    async def _change(
        self, action: str, about: Mapping[str, Any], *document: Mapping[str, Any]
    ) -> tuple[int, str]:
        """Status and result of one action.

        By POST: aiohttp would repeat a PUT or DELETE by itself when its connection breaks (the
        client's own method is a PUT), and the second answer would tell of what the first had done.
        """
        async with self._calling() as client:
            answer = await client.perform_request(
                "POST",
                f"/{quote(self._config.index, safe='')}/_bulk",
                params={"refresh": "true", "timeout": self._server_timeout},
                headers={"accept": JSON, "content-type": LINES},
                body=[{action: about}, *document],
            )
        return outcome_of(answer.body, action)

    def _expect(self, result: str, status: int, found: str) -> None:
        """Nothing is done before Elasticsearch says so."""
        if status >= 400:
            log.warning("the endpoint store answered a change with %d %s", status, found)
            raise self._asked.failed(status, found)
        if found != result:
            raise unexpected()

    async def _create_index(self) -> None:
        async with self._calling() as client:
            try:
                await client.indices.create(
                    index=self._config.index,
                    settings=SETTINGS,
                    mappings=MAPPINGS,
                    timeout=self._server_timeout,
                    master_timeout=self._server_timeout,
                )
            except BadRequestError as error:
                if type_of(error) != "resource_already_exists_exception":
                    raise self._asked.not_made(error) from None
        self._index_is_there()

    async def _update(self, inference_id: str, change: Change) -> InferenceEndpoint:
        await self._has_index()
        for _ in range(_UPDATE_ATTEMPTS):
            endpoint, place = await self._get(inference_id)
            changed = change(endpoint)
            record = (await self._checked_keys()).seal(changed)
            if await self._write(
                "index",
                record,
                "updated",
                if_seq_no=place.seq_no,
                if_primary_term=place.primary_term,
            ):
                return changed
        raise StatusError(
            409,
            f"Endpoint [{inference_id}] is currently being updated. Try again once the update "
            "completes",
        )

    async def _delete(self, inference_id: str) -> None:
        await self._has_index()  # a document of somebody else's index is none of ours
        had_index = self._had_index
        status, found = await self._change("delete", {"_id": inference_id})
        if status == 404 and found in ("not_found", INDEX_MISSING):
            raise self._not_found(inference_id, found == INDEX_MISSING, had_index)
        self._expect("deleted", status, found)

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
        return await _patiently(lambda: self._read(keys, inference_id))

    async def _read(self, keys: Keyring, inference_id: str) -> tuple[InferenceEndpoint, _Place]:
        had_index = self._had_index
        async with self._calling() as client:
            try:
                answer = await client.get(index=self._config.index, id=inference_id)
            except NotFoundError as error:
                if says_missing(error):
                    raise self._not_found(inference_id, lacks_index(error), had_index) from None
                raise
        match answer.body:
            case {"_id": str(found), "_seq_no": int(seq_no), "_primary_term": int(term)} if (
                found == inference_id
            ):
                return keys.open_(record_of(answer.body)), _Place(seq_no, term)
        raise unexpected()

    async def _search(self, **what: Any) -> Mapping[str, Any] | None:
        """What a search answers, None when there is no index."""
        had_index = self._had_index
        async with self._calling() as client:
            try:
                answer = await client.search(index=self._config.index, **what)
            except NotFoundError as error:
                if lacks_index(error):
                    self._index_is_missing(had_index)
                    return None
                raise
        body: Mapping[str, Any] = answer.body
        match body:
            case {"timed_out": False, "_shards": {"failed": 0}}:
                return body
        raise unexpected()  # half an answer would hide endpoints

    def _not_found(self, inference_id: str, lacks_index: bool, had_index: bool) -> EndpointNotFound:
        if not lacks_index:
            return EndpointNotFound(inference_id)
        self._index_is_missing(had_index)
        return AllLost(inference_id, lost(self._config.index) if self._is_lost else None)

    # The index

    async def _has_index(self) -> bool:
        """Whether there is an index, as we make it. Raises: StoreDamaged when it is another."""
        return await _patiently(self._look_at_index)

    async def _look_at_index(self) -> bool:
        had_index = self._had_index
        async with self._calling() as client:
            try:
                # Its own method sends the fields in a body, where 7.17 does not look for them.
                answer = await client.perform_request(
                    "GET",
                    f"/{quote(self._config.index, safe='')}/_field_caps",
                    params={"fields": ",".join(FIELDS)},
                    headers={"accept": JSON},
                )
            except NotFoundError as error:
                if lacks_index(error):
                    self._index_is_missing(had_index)
                    return False
                raise
        check_fields(answer.body, self._config.index)
        self._index_is_there()
        return True

    def _index_is_there(self) -> None:
        self._had_index, self._is_lost = True, False

    def _index_is_missing(self, had_index: bool) -> None:
        """`had_index`: when that was asked; it may have been made for the first time since."""
        if had_index and self._had_index:
            log.error(lost(self._config.index))
            self._is_lost = True
            self._had_index = self._is_checked = False  # who knows which one comes next

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
        """The ids of the keys that records are sealed with, None when there is no index."""
        if not await self._has_index():
            return None
        samples = {"sample": {"top_hits": {"size": 10}}}
        by_key = {"terms": {"field": "key_id", "size": 100}, "aggregations": samples}
        match await self._search(size=0, aggregations={"keys": by_key}):
            case None:
                return None
            case {"aggregations": {"keys": {"buckets": list(buckets)}}}:
                return set(keys_in(buckets))
        raise unexpected()

    # Calling

    @asynccontextmanager
    async def _calling(self) -> AsyncIterator[AsyncElasticsearch]:
        """The client; its errors leave as errors of ours."""
        if self._client is None:
            raise StoreError("The endpoint store is not open")
        try:
            yield self._client
        except ApiError as error:
            log.warning("the endpoint store answered %d %s", error.meta.status, type_of(error))
            raise self._asked.translated(error) from None
        except ConnectionTimeout:
            raise StoreError(
                f"The endpoint store did not answer within [{self._config.timeout:g}] seconds: "
                "GET tells whether a change was made"
            ) from None
        except SerializationError:
            raise unexpected() from None
        except TlsError:
            raise _Unreachable(
                "The endpoint store cannot be reached by TLS: check [upstream.ca_file] and "
                "[upstream.url]"
            ) from None
        except TransportError as error:
            log.debug("the endpoint store cannot be reached: %s", type(error).__name__)
            raise _Unreachable(
                "The endpoint store cannot be reached: check that Elasticsearch runs, and "
                "[upstream.url]"
            ) from None


def _credentials(upstream: UpstreamConfig) -> str | None:
    """The settings that the proxy's own credentials are in."""
    if upstream.api_key is not None:
        return "[upstream.api_key]"
    return None if upstream.username is None else "[upstream.username] and [upstream.password]"


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """What `ask` returns; an index that another proxy is just making needs a moment."""
    for pause in _PAUSES:
        try:
            return await ask()
        except IndexUnavailable:
            await asyncio.sleep(pause)
    return await ask()


def _connect(upstream: UpstreamConfig, timeout: float) -> AsyncElasticsearch:
    """A client that says only what every version understands, and never says it twice."""
    urls = map(URL, upstream.urls)
    options: dict[str, Any] = {}
    if upstream.api_key is not None:
        options["api_key"] = upstream.api_key
    elif upstream.username is not None:
        options["basic_auth"] = (upstream.username, upstream.password or "")
    if (context := upstream_tls(upstream)) is not None:
        options["ssl_context"] = context
    return AsyncElasticsearch(
        [f"{url.scheme}://{url.host_subcomponent}:{url.port}" for url in urls],
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
