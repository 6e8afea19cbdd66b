"""Items that are sent once more, and what could not be read of what is there."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from proxy.ground.errors import UpstreamUnavailable
from proxy.semantic.bulk import Guard, Item, Window
from proxy.semantic.fields import SemanticField
from proxy.semantic.filling import FieldFilling, Filling
from proxy.semantic.modelsettings import DenseModel
from proxy.semantic.present import consider
from proxy.semantic.writer import Writer

CONFLICT = {
    **{"_index": "a", "_id": "0", "status": 409},
    "error": {"type": "version_conflict_engine_exception"},
}


def item(number: int, **more: Any) -> Item:
    meta = {"_id": str(number)}
    line = orjson.dumps({"update": meta})
    return Item(action="update", meta=meta, action_line=line, source=b'{"doc":{}}', **more)


class Registry:
    """One that sees the cluster, and then does not."""

    async def look(self) -> None:
        pass

    async def pipelines(self) -> Any:
        raise UpstreamUnavailable("upstream node is away")


async def test_each_item_has_its_own_answer_though_one_cannot_be_sent_once_more():
    async def answer(*_: Any) -> Any:
        done = [{"update": {"_index": "a", "_id": str(number), "status": 200}} for number in (1, 2)]
        body = orjson.dumps({"items": [{"update": CONFLICT}, *done]})
        return SimpleNamespace(status=200, body=body)

    upstream = SimpleNamespace(ask_as_caller=answer)
    parts = SimpleNamespace(upstream=upstream, registry=Registry(), document_endpoints=None)
    exchange: Any = SimpleNamespace(parts=parts, request=None, rest=SimpleNamespace(parameters={}))
    guard = Guard(if_seq_no=1, if_primary_term=1)
    window = Window([item(0, guard=guard), item(1), item(2)], pieces=[b"{}\n"])
    entries = await Writer(exchange, "a").send(window, is_last=True)
    assert isinstance(entries, list)
    answers = [entry["update"] for entry in entries]
    assert [(one["_id"], one["status"]) for one in answers] == [("0", 503), ("1", 200), ("2", 200)]


async def test_what_is_there_is_read_once_all_that_changes_it_has_been_sent():
    asked = []

    async def answer(_request: Any, _method: str, target: str, body: Any) -> Any:
        asked.append(target.partition("?")[0])
        done = {"items": [{"index": {"_index": "a", "_id": "1", "status": 200}}]}
        docs = {"docs": [{"_index": "a", "_id": "1", "found": False}]}
        return SimpleNamespace(status=200, body=orjson.dumps({**done, **docs}))

    upstream = SimpleNamespace(ask_as_caller=answer)
    parts = SimpleNamespace(upstream=upstream, registry=Registry(), document_endpoints=None)
    exchange: Any = SimpleNamespace(parts=parts, request=None, rest=SimpleNamespace(parameters={}))
    writer = Writer(exchange, "a")
    before = [Window([item(1)]), Window([item(2)]), Window([item(1)])]
    for window in before:
        await writer.embed(window)
    reading = asyncio.ensure_future(writer.embed(Window([updated("f", "g")])))
    for window in before:
        await asyncio.sleep(0)
        assert "/_mget" not in asked
        await writer.send(window, is_last=False)
    await reading
    assert asked == [*["/a/_bulk"] * 3, "/_mget"]


def updated(*sources: str) -> Item:
    """An update of the first source of a field that is made of `sources`."""
    semantic = SemanticField(
        path="f",
        definition={"inference_id": "i"},
        number=1,
        model=DenseModel(dimensions=1, similarity="cosine"),
        seen=True,
        sources=sources,
    )
    filling = FieldFilling(semantic=semantic, sources=[sources[0]])
    return item(1, filling=Filling(fields={"f": filling}))


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("no_shard_available_action_exception", 503),
        ("illegal_index_shard_state_exception", 503),
        ("security_exception", 403),
        ("index_not_found_exception", None),
    ],
)
def test_what_is_there_of_other_fields_is_not_lost_where_it_cannot_be_read(kind, status):
    document = {"_index": "a", "_id": "1", "error": {"type": kind, "reason": "because"}}
    one, several = updated("f"), updated("f", "g")
    for changed in (one, several):
        consider(changed, document)
    assert one.failure is None
    assert (several.failure and several.failure.status) == status
