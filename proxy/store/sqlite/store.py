"""The embedded endpoint store: an SQLite file, its keys, and the thread that works on it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TypeVar

from proxy.config import StoreConfig
from proxy.ground.errors import EndpointNotFound, StoreError
from proxy.inference.dumping import check_storable
from proxy.inference.endpoints import InferenceEndpoint, TaskType
from proxy.inference.ids import is_storable
from proxy.inference.ports import Change, Known, Listing
from proxy.store.keys import key_beside, load_keyring, make_keyring
from proxy.store.listing import ListingMaker
from proxy.store.sealed import Keyring
from proxy.store.sqlite import records
from proxy.store.sqlite.file import DatabaseFile, located
from proxy.store.sqlite.notes import SQLiteNotes

T = TypeVar("T")


class SQLiteStore:
    """An EndpointStore in an SQLite file.

    The encryption key, if none is configured, lies beside the file with `.key` added to its name.
    """

    def __init__(self, path: str | Path, config: StoreConfig) -> None:
        self._file = DatabaseFile(located(path), config.timeout)
        self._name = str(self._file.path)  # in errors about keys
        self._config = config
        self._thread: ThreadPoolExecutor | None = None  # every use of the file is in it
        self._keys: Keyring | None = None
        self.notes = SQLiteNotes(self._file, self._run, lambda: self._keyring)

    async def open(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="endpoint-store")
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.close)
            await self._run(self._open)
            stack.pop_all()

    async def close(self) -> None:
        if self._thread is not None:
            await self._run(self._file.close)
            self._thread.shutdown()
            self._thread = None

    async def create(self, endpoint: InferenceEndpoint) -> None:
        check_storable(endpoint)
        await self._run(lambda: self._create(endpoint))

    async def get(self, inference_id: str) -> Known:
        return Known(await self._run(lambda: self._read(inference_id)))

    async def find(self, task_type: TaskType | None = None) -> Listing:
        maker, after = ListingMaker(self._keyring, task_type), ""
        while not maker.is_full:
            page = await self._run(partial(records.page, self._file, after))
            maker.add(page)
            if len(page) < records.PAGE:
                return maker.listing()
            after = page[-1].inference_id
        return maker.listing(complete=False)

    async def check(self) -> str | None:
        return await self._run(
            lambda: self._keyring.survey(list(records.sample(self._file)), self._name)
        )

    async def update(self, inference_id: str, change: Change) -> InferenceEndpoint:
        return await self._run(lambda: self._update(inference_id, change))

    async def delete(self, inference_id: str) -> None:
        await self._run(lambda: self._delete(inference_id))

    async def _run(self, work: Callable[[], T]) -> T:
        """What `work` returns. Once begun, it is done even if the caller is cancelled."""
        if self._thread is None:
            raise StoreError("The endpoint store is not open")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    @property
    def _keyring(self) -> Keyring:
        if self._keys is None:
            raise StoreError("The endpoint store could not be opened")
        return self._keys

    # In the thread

    def _open(self) -> None:
        generated = key_beside(self._file.path)
        self._file.make()
        keys = load_keyring(self._config, generated)
        self._file.open()
        with self._file.transaction() as connection:  # one process makes a key
            keys = keys or make_keyring(generated, records.key_ids(connection), self._name)
            self._judge(keys, connection)
        self._keys = keys

    def _create(self, endpoint: InferenceEndpoint) -> None:
        with self._file.transaction() as connection:
            # Another process may have written with another key since this one started.
            self._judge(self._keyring, connection)
            records.insert(connection, self._keyring.seal(endpoint))

    def _judge(self, keys: Keyring, connection: sqlite3.Connection) -> None:
        """Raises: KeyMismatch where no record opens, and one is sealed with another key."""
        if not any(map(keys.opens, records.of_keys(connection, keys.key_ids))):
            keys.check(records.key_ids(connection), self._name)

    def _read(self, inference_id: str) -> InferenceEndpoint:
        return self._keyring.open_(records.read(self._file, inference_id))

    def _update(self, inference_id: str, change: Change) -> InferenceEndpoint:
        with self._file.transaction() as connection:
            endpoint = self._read(inference_id)
            if (changed := change(endpoint)) != endpoint:
                check_storable(changed)  # what is there may be older than the bound
            records.replace(connection, self._keyring.seal(changed))
            return changed

    def _delete(self, inference_id: str) -> None:
        if not is_storable(inference_id):
            raise EndpointNotFound(inference_id)
        with self._file.transaction() as connection:
            records.delete(connection, inference_id)
