"""Notes in the index of the endpoints: documents beside those of endpoints, sealed like them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from typing import Any, Final

from proxy.ground.errors import (
    EndpointAlreadyExists,
    EndpointNotFound,
    RecordRefused,
    StoreError,
)
from proxy.store.elasticsearch.documents import NOTES, Documents, Version
from proxy.store.elasticsearch.index import Index
from proxy.store.elasticsearch.keycheck import KeyCheck
from proxy.store.sealed import Record

_ATTEMPTS: Final = 10


class ElasticsearchNotes:
    """What proxies before the same Elasticsearch tell each other: see Notes."""

    def __init__(self, index: Index, documents: Documents, keys: KeyCheck) -> None:
        self._index = index
        self._documents = documents
        self._keys = keys

    async def write(self, name: str, content: Mapping[str, Any]) -> None:
        keys = await self._keys.keys()
        if not await self._index.exists():
            await self._index.create()
        await self._documents.put(keys.seal_note(name, content))

    async def read(self, name: str) -> dict[str, Any] | None:
        content, _ = await self._read(name)
        return content

    async def change(
        self,
        name: str,
        change: Callable[[dict[str, Any]], Mapping[str, Any]],
        *,
        start: Mapping[str, Any] | None = None,
    ) -> dict[str, Any] | None:
        keys = await self._keys.keys()
        for _ in range(_ATTEMPTS):
            content, version = await self._read(name)
            if content is None:
                if start is None:
                    return None
                content = dict(start)
            changed = dict(change(content))
            if await self._put(keys.seal_note(name, changed), version):
                return changed
        raise StoreError("A note in the store is changed by others all the time")

    async def _put(self, record: Record, version: Version | None) -> bool:
        """Whether the record took the place of that version, or of nothing."""
        if version is not None:
            return await self._documents.replace(record, version)
        if not await self._index.exists():
            await self._index.create()
        try:
            await self._documents.create(record)
        except EndpointAlreadyExists:
            return False
        return True

    async def all(self) -> dict[str, dict[str, Any]]:
        keys = await self._keys.keys()
        records: list[Record] = []
        async with aclosing(self._documents.pages(NOTES)) as pages:
            async for page in pages:
                records += page
        opened = {one.inference_id: keys.open_note(one) for one in records}
        return {name: content for name, content in opened.items() if content is not None}

    async def delete(self, name: str) -> None:
        with suppress(EndpointNotFound):
            await self._documents.delete(name)

    async def _read(self, name: str) -> tuple[dict[str, Any] | None, Version | None]:
        """What the note says, if it can be opened, and its version, if there is a document."""
        keys = await self._keys.keys()
        try:
            record, version = await self._documents.read(name)
        except (EndpointNotFound, RecordRefused):
            return None, None
        return keys.open_note(record), version
