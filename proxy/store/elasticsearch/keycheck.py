"""The keys of the store, checked against the records that they have to open."""

from __future__ import annotations

import asyncio
from pathlib import Path

from proxy.config import ConfigError, StoreConfig
from proxy.errors import KeyMismatch
from proxy.store.elasticsearch.documents import Documents
from proxy.store.elasticsearch.index import Index
from proxy.store.keys import load_keyring, make_keyring
from proxy.store.sealed import Keyring


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
        held = await self._documents.key_ids() or ()
        if self._keys is not None:
            self._keys.check(held, self._index.name)
            return self._keys
        try:
            return make_keyring(self._generated, held, self._index.name)
        except ConfigError as error:
            raise KeyMismatch(str(error)) from None
