"""The store in Elasticsearch, looked at without a change."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path

from elasticsearch import ApiError

from proxy.config import StoreConfig, UpstreamConfig
from proxy.store.elasticsearch.answers import unexpected
from proxy.store.elasticsearch.connection import Connection
from proxy.store.elasticsearch.documents import Documents
from proxy.store.elasticsearch.failures import PRIVILEGES
from proxy.store.elasticsearch.index import Index
from proxy.store.elasticsearch.store import MAX_READ
from proxy.store.elasticsearch.transport import JSON
from proxy.store.keys import key_in
from proxy.store.sealed import Record

_QUESTION = "/_security/user/_has_privileges"


class ElasticsearchInspection:
    """An Inspection of the index."""

    def __init__(self, upstream: UpstreamConfig, config: StoreConfig, *, folder: Path) -> None:
        self.place = config.index
        self.what = f"the index [{config.index}]"
        self.generated = key_in(folder)
        self._connection = Connection(upstream, config)
        self._index = Index(self._connection)

    def open(self) -> None:
        self._connection.open()

    async def rights(self) -> Mapping[str, bool]:
        wanted = {"names": [self.place], "privileges": PRIVILEGES}
        async with self._connection.calling() as client:
            try:
                answer = await client.perform_request(
                    "GET",  # of another node, too, if the first is away
                    _QUESTION,
                    headers={"accept": JSON, "content-type": JSON},
                    body={"index": [wanted]},
                )
            except ApiError as error:
                if error.meta.status in (400, 405):  # there is no security to ask
                    return {}
                raise
        match answer.body:
            case {"index": {**names}} if isinstance(found := names.get(self.place), dict):
                return {name: found.get(name) is True for name in PRIVILEGES}
        raise unexpected()

    async def records(self) -> list[Record] | None:
        documents = Documents(self._connection, self._index)
        if not await self._index.exists():
            return None
        records: list[Record] = []
        async with aclosing(documents.pages()) as pages:
            async for page in pages:
                records += page
                if len(records) >= MAX_READ:
                    break
        return records

    async def close(self) -> None:
        await self._connection.close()
