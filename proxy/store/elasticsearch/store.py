"""The endpoint store in Elasticsearch: what EndpointStore asks for, out of the parts beside it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final, TypeVar

from proxy.config import StoreConfig, UpstreamConfig
from proxy.ground.errors import EndpointNotFound, KeyMismatch, StatusError, StoreError
from proxy.inference.dumping import check_storable
from proxy.inference.endpoints import InferenceEndpoint, TaskType
from proxy.inference.ids import is_storable
from proxy.inference.ports import MAX_REFUSED, SAMPLE, Change, Known, Listing
from proxy.store.elasticsearch.connection import Connection, Unreachable
from proxy.store.elasticsearch.documents import Documents, Version, of_keys, of_others
from proxy.store.elasticsearch.index import Index
from proxy.store.elasticsearch.keycheck import KeyCheck
from proxy.store.elasticsearch.notes import ElasticsearchNotes
from proxy.store.keys import key_in
from proxy.store.listing import ListingMaker
from proxy.store.sealed import Keyring

T = TypeVar("T")

_UPDATE_ATTEMPTS: Final = 5
MAX_READ: Final = 100_000  # records for a listing, most of which are then none of the proxy's

log = logging.getLogger(__name__)


class ElasticsearchStore:
    """An EndpointStore in an index of Elasticsearch.

    The encryption key, if none is configured, lies in `folder`.
    """

    def __init__(self, upstream: UpstreamConfig, config: StoreConfig, *, folder: Path) -> None:
        self._connection = Connection(upstream, config)
        self._index = Index(self._connection)
        self._documents = Documents(self._connection, self._index)
        self._keys = KeyCheck(config, key_in(folder), self._index, self._documents)
        self.notes = ElasticsearchNotes(self._index, self._documents, self._keys)
        self._writes: set[asyncio.Future[Any]] = set()

    async def open(self) -> None:
        self._keys.load()
        self._connection.open()
        try:
            await self._keys.keys()
        except KeyMismatch:
            await self.close()
            raise
        except Unreachable:
            pass  # so is the whole upstream, which the proxy says elsewhere
        except StoreError as error:
            log.warning("%s; starting all the same, and trying again with every call", error)

    async def close(self) -> None:
        await asyncio.gather(*self._writes, return_exceptions=True)  # their callers have left
        await self._connection.close()

    async def create(self, endpoint: InferenceEndpoint) -> None:
        check_storable(endpoint)
        keys = await self._keys.keys()
        await self._finish(self._create(keys, endpoint))

    async def get(self, inference_id: str) -> Known:
        endpoint, _ = await self._read(inference_id)
        return Known(endpoint)

    async def find(self, task_type: TaskType | None = None) -> Listing:
        keys = await self._keys.keys()
        ours, others = of_keys(keys.key_ids), of_others(keys.key_ids)
        maker, read, complete = ListingMaker(keys, task_type), 0, True
        async with aclosing(self._documents.pages(ours)) as pages:
            async for page in pages:
                maker.add(page)
                if maker.is_full or (read := read + len(page)) >= MAX_READ:
                    complete = False
                    break
        ids, count = await self._documents.count(others, MAX_REFUSED)
        maker.refuse(ids, more=count - len(ids))
        return maker.listing(complete=complete)

    async def check(self) -> str | None:
        keys = await self._keys.keys()
        sample = await self._keys.sample(keys)
        async with aclosing(self._documents.pages(of_others(keys.key_ids), size=SAMPLE)) as pages:
            sample += await anext(pages, [])
        problem = keys.survey(sample, self._index.name)
        return problem or self._index.loss

    async def update(self, inference_id: str, change: Change) -> InferenceEndpoint:
        return await self._finish(self._update(inference_id, change))

    async def delete(self, inference_id: str) -> None:
        if not is_storable(inference_id):
            raise EndpointNotFound(inference_id)
        await self._finish(self._documents.delete(inference_id))

    async def _create(self, keys: Keyring, endpoint: InferenceEndpoint) -> None:
        if await self._index.exists():
            # Another proxy may have written with another key since this one started.
            await self._keys.judge(keys)
        else:  # an index that Elasticsearch made would be neither hidden nor strict
            await self._index.create()
        await self._documents.create(keys.seal(endpoint))

    async def _read(self, inference_id: str) -> tuple[InferenceEndpoint, Version]:
        if not is_storable(inference_id):
            raise EndpointNotFound(inference_id)
        keys = await self._keys.keys()
        record, version = await self._documents.read(inference_id)
        return keys.open_(record), version

    async def _update(self, inference_id: str, change: Change) -> InferenceEndpoint:
        await self._index.exists()  # somebody else's index must not be written to
        for _ in range(_UPDATE_ATTEMPTS):
            endpoint, version = await self._read(inference_id)
            if (changed := change(endpoint)) != endpoint:
                check_storable(changed)  # what is there may be older than the bound
            record = (await self._keys.keys()).seal(changed)
            if await self._documents.replace(record, version):
                return changed
        raise StatusError(
            409,
            f"Endpoint [{inference_id}] is currently being updated. Try again once the update "
            "completes",
        )

    async def _finish(self, write: Awaitable[T]) -> T:
        """The result of a write, which goes on if its caller is cancelled; `close` waits for it."""
        writing = asyncio.ensure_future(write)
        self._writes.add(writing)
        writing.add_done_callback(self._writes.discard)
        return await asyncio.shield(writing)
