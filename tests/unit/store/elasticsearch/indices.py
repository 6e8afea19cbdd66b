"""An Elasticsearch with one index of records, as far as the store asks for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson

from proxy.config import StoreConfig, UpstreamConfig
from proxy.store.elasticsearch.connection import Connection
from proxy.store.elasticsearch.documents import Documents
from proxy.store.elasticsearch.index import Index
from proxy.store.elasticsearch.mapping import FIELDS
from proxy.store.sealed import NOTE
from tests.support.stubs import JSON, Call, FaultyServer, Reply, json_reply

PRODUCT = {"X-Elastic-Product": "Elasticsearch", **JSON}


def failure(status: int, kind: str) -> Reply:
    return json_reply({"error": {"type": kind}, "status": status}, status, headers=PRODUCT)


MISSING = failure(404, "index_not_found_exception")


class FakeIndex:
    """The index `i`; `exists` says whether there is one."""

    def __init__(self, *, exists: bool = True) -> None:
        self.exists = exists
        self.documents: dict[str, tuple[int, Any]] = {}  # by id, with their `_seq_no`
        self.changes = 0
        self.answers: dict[str, Reply] = {}  # by the last part of a path, in place of its own

    def __call__(self, call: Call) -> Reply:
        last = call.path.rpartition("/")[2]
        if last in self.answers:
            return self.answers[last]
        if call.method == "PUT":
            self.exists = True
            return json_reply({"acknowledged": True}, headers=PRODUCT)
        if not self.exists and last != "_bulk":
            return MISSING
        match last:
            case "_field_caps":
                fields: dict[str, Any] = {name: {kind: {}} for name, kind in FIELDS.items()}
                return json_reply({"indices": ["i"], "fields": fields}, headers=PRODUCT)
            case "_search":
                return self._search(orjson.loads(call.body))
            case "_bulk":
                return self._bulk([orjson.loads(line) for line in call.body.splitlines()])
        return self._get(last)

    def _search(self, body: Any) -> Reply:
        wants_notes = body["query"] == {"term": {"task_type": NOTE}}
        after = body.get("search_after", [-1])[0]
        found = sorted(
            (seq_no, name, source)
            for name, (seq_no, source) in self.documents.items()
            if (source["task_type"] == NOTE) is wants_notes and seq_no > after
        )
        hits = [
            {"_id": name, "_source": source, "sort": [seq_no, name]}
            for seq_no, name, source in found[: body["size"]]
        ]
        answer = {"timed_out": False, "_shards": {"failed": 0}, "hits": {"hits": hits}}
        return json_reply(answer, headers=PRODUCT)

    def _bulk(self, lines: list[Any]) -> Reply:
        ((action, about),) = lines[0].items()
        name = about["_id"]
        present = self.documents.get(name)
        item: dict[str, Any]
        wanted = about.get("if_seq_no", present and present[0])
        if action == "delete":
            result = "not_found" if self.documents.pop(name, None) is None else "deleted"
            item = {"status": 404 if result == "not_found" else 200, "result": result}
        elif (action == "create" and present) or (present and present[0] != wanted):
            item = {"status": 409, "error": {"type": "version_conflict_engine_exception"}}
        else:
            self.changes += 1
            self.documents[name] = (self.changes, lines[1])
            item = {"status": 200, "result": "updated" if present else "created"}
        return json_reply({"items": [{action: item}]}, headers=PRODUCT)

    def _get(self, name: str) -> Reply:
        if name not in self.documents:
            return json_reply({"_id": name, "found": False}, 404, headers=PRODUCT)
        seq_no, source = self.documents[name]
        answer = {"_id": name, "_seq_no": seq_no, "_primary_term": 1, "_source": source}
        return json_reply(answer, headers=PRODUCT)


@asynccontextmanager
async def connected(fake: FakeIndex) -> AsyncIterator[tuple[Connection, FaultyServer]]:
    async with FaultyServer(fake) as server:
        connection = Connection(UpstreamConfig(url=server.url, api_key="k"), StoreConfig(index="i"))
        connection.open()
        yield connection, server
        await connection.close()


@asynccontextmanager
async def opened(fake: FakeIndex) -> AsyncIterator[tuple[Index, Documents]]:
    async with connected(fake) as (connection, _):
        index = Index(connection)
        yield index, Documents(connection, index)
