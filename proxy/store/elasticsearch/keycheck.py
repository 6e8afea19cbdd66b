"""The keys of the store, checked against the records that they have to open."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from proxy.config import ConfigError, StoreConfig
from proxy.ground.errors import KeyMismatch
from proxy.inference.ports import SAMPLE
from proxy.store.elasticsearch.documents import ENDPOINTS, Documents, of_keys, of_others
from proxy.store.elasticsearch.index import Index
from proxy.store.keys import load_keyring, make_keyring
from proxy.store.sealed import Keyring, Record, keys_of


class KeyCheck:
    """Hands out the keys once they are known to open what the index holds.

    If none is configured, a key is made in the file `generated`, but only when it is known that
    there are no records yet. An index that takes the place of a deleted one is checked again.
    """

    def __init__(
        self, config: StoreConfig, generated: Path, index: Index, documents: Documents
    ) -> None:
        self._config = config
        self._generated = generated
        self._index = index
        self._documents = documents
        self._keys: Keyring | None = None
        self._checked_after: int | None = None  # which deletion of the index
        self._checking = asyncio.Lock()

    def load(self) -> None:
        """Raises: ConfigError."""
        self._keys = load_keyring(self._config, self._generated)

    async def keys(self) -> Keyring:
        """Raises: KeyMismatch; StoreError when the check cannot be made."""
        if (keys := self._checked()) is not None:
            return keys
        async with self._checking:
            if (keys := self._checked()) is not None:
                return keys
            keys = self._keys = await self._check()
            self._checked_after = self._index.deletions
            return keys

    def _checked(self) -> Keyring | None:
        return self._keys if self._checked_after == self._index.deletions else None

    async def _check(self) -> Keyring:
        if self._keys is not None:
            await self.judge(self._keys)
            return self._keys
        held = await self._sealed_with(ENDPOINTS)
        try:
            return make_keyring(self._generated, held, self._index.name)
        except ConfigError as error:
            raise KeyMismatch(str(error)) from None

    async def judge(self, keys: Keyring) -> None:
        """Raises: KeyMismatch where no record opens, and one is sealed with another key.

        Others may write to the index: their records say nothing as long as there is one that opens.
        """
        if not any(map(keys.opens, await self.sample(keys))):
            keys.check(await self._sealed_with(of_others(keys.key_ids)), self._index.name)

    async def sample(self, keys: Keyring) -> list[Record]:
        """Some records that name a key of ours; one of them opens, if any in the index does."""
        first: list[Record] = []
        async with aclosing(self._documents.pages(of_keys(keys.key_ids), size=SAMPLE)) as pages:
            async for page in pages:
                if any(map(keys.opens, page)):
                    return page
                first = first or page
        return first

    async def _sealed_with(self, query: Mapping[str, Any]) -> set[str]:
        """Some ids of keys that records are sealed with; empty if there are none."""
        async with aclosing(self._documents.pages(query, size=SAMPLE)) as pages:
            async for page in pages:
                if held := keys_of(page):
                    return held
        return set()
