"""Which part of pipelines the proxy runs before documents go upstream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import orjson

from proxy.ground.errors import Unauthorized
from proxy.semantic.bulk import Item
from proxy.semantic.ingest.running import run_pipelines
from proxy.semantic.pipelines import Input, Pipeline, Processor
from proxy.semantic.targets import Pipelines, WriteTarget
from tests.unit.semantic import exchanges
from tests.unit.semantic.exchanges import Answer, World, world
from tests.unit.semantic.targets import semantic_field, target

INFER: Final = Processor(model_id="e", inputs=(Input("a", "b"),))
FIRST: Final = Pipeline(id="first", before=(INFER,), after=())
LAST: Final = Pipeline(id="last", before=(), after=(INFER,))
PLAIN: Final = WriteTarget(index="i", fields={})
SEMANTIC: Final = WriteTarget(index="i", fields={"body": semantic_field()})


class Endpoints(exchanges.Endpoints):
    async def infer(self, endpoint, texts, deadline, input_type=None):
        return [f"{text}!" for text in texts]


def simulating(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The answer of the upstream to documents that it simulates."""

    def answer(body: Any) -> Any:
        docs: list[Any] = []
        for one in body["docs"]:
            made = change(dict(one["_source"]))
            if made is None:
                docs.append(None)
            else:
                meta = {"_index": one["_index"], **made.pop("_meta", {})}
                docs.append({"doc": {"_source": made, **meta}})
        return {"docs": docs}

    return answer


def here(change: Callable[[Any], Any] = lambda found: found) -> World:
    made = world(target())
    made.endpoints = Endpoints()
    made.registry.snapshot = replace(
        made.registry.snapshot, pipelines={"first": FIRST, "last": LAST}
    )

    async def ask_as_caller(request, method, target, body=b""):
        made.upstream.asked.append(exchanges.Asked(method, target, body))
        return Answer(simulating(change)(orjson.loads(body)))

    made.upstream.ask_as_caller = ask_as_caller  # type: ignore[method-assign]
    return made


def item(source: Any, action: str = "index", **meta: Any) -> Item:
    line = orjson.dumps({action: meta})
    return Item(action=action, meta=meta, action_line=line, source=orjson.dumps(source))


async def run(world: World, to: WriteTarget, one: Item, requested: str | None = None) -> list[Item]:
    exchange, _ = world.exchange("POST", "/i/_bulk")
    return await run_pipelines(exchange, [("i", to, one)], requested)


def source(one: Item) -> Any:
    assert one.source is not None
    return orjson.loads(one.source)


async def test_processors_at_the_beginning_change_what_goes_upstream():
    one, before = item({"a": "x"}), here()
    assert await run(before, PLAIN, one, "first") == []
    assert source(one) == {"a": "x", "model_id": "e", "b": "x!"}
    assert one.is_ingested
    assert one.meta == {}  # the upstream runs the rest
    assert before.upstream.asked == []


async def test_where_some_stand_at_the_end_the_rest_is_run_before():
    one, before = item({"a": "x"}), here(lambda found: {**found, "a": "y"})
    await run(before, PLAIN, one, "last")
    assert source(one)["b"] == "y!"
    assert one.meta == {"pipeline": "_none"}
    assert orjson.loads(one.action_line) == {"index": {"pipeline": "_none"}}


async def test_texts_are_embedded_as_pipelines_leave_them():
    one, before = item({"a": "x"}), here(lambda found: {"body": found["a"]})
    await run(before, replace(SEMANTIC, pipelines=Pipelines(main="other")), one)
    assert source(one) == {"body": "x"}
    assert one.meta == {"pipeline": "_none"}


async def test_what_a_final_pipeline_will_make_is_foreseen():
    one, before = item({"a": "x"}), here(lambda found: {"body": "seen"})
    await run(before, replace(SEMANTIC, pipelines=Pipelines(final="f")), one)
    assert source(one) == {"a": "x"}
    assert one.seen is not None
    assert orjson.loads(one.seen) == {"body": "seen"}
    assert one.meta == {}


async def test_a_document_that_its_final_pipeline_drops_needs_no_vectors():
    one, before = item({"a": "x"}), here(lambda _: None)
    one.fields = SEMANTIC.fields
    await run(before, replace(SEMANTIC, pipelines=Pipelines(final="f")), one)
    assert one.answer is None
    assert one.fields == {}


async def test_a_document_that_is_dropped_is_answered():
    one, before = item({"a": "x"}, _id="1"), here(lambda _: None)
    await run(before, SEMANTIC, one, "other")
    assert one.answer is not None
    assert one.answer["index"]["result"] == "noop"
    assert one.answer["index"]["_id"] == "1"


async def test_a_final_pipeline_cannot_end_with_ours():
    one = item({"a": "x"})
    await run(here(), replace(PLAIN, pipelines=Pipelines(final="last")), one)
    assert one.answer is not None
    assert one.answer["index"]["status"] == 400
    assert "[last] cannot be the final pipeline" in one.answer["index"]["error"]["reason"]


async def test_a_document_may_go_elsewhere():
    one, before = item({"a": "x"}), here(lambda found: {**found, "_meta": {"_index": "j"}})
    before.registry.snapshot.written.keep("j", WriteTarget(index="j", fields={}))
    assert await run(before, SEMANTIC, one, "other") == [one]
    assert one.index == "j"


async def test_but_not_where_its_caller_may_not_write():
    one, before = item({"a": "x"}), here(lambda found: {**found, "_meta": {"_index": "j"}})
    elsewhere = WriteTarget(index="j", fields=SEMANTIC.fields)
    before.registry.snapshot.written.keep("j", elsewhere)
    before.guard.refused = Unauthorized("you may not")
    await run(before, SEMANTIC, one, "other")
    assert one.answer is not None
    assert one.answer["index"]["status"] == 403


async def test_of_an_update_what_may_become_a_document_goes_through():
    one = item({"doc": {"a": "x"}, "upsert": {"a": "y"}}, "update")
    await run(here(), replace(PLAIN, pipelines=Pipelines(main="first")), one)
    assert source(one)["doc"] == {"a": "x"}
    assert source(one)["upsert"]["b"] == "y!"
    plain = item({"doc": {"a": "x"}}, "update")
    await run(here(), replace(PLAIN, pipelines=Pipelines(main="first")), plain)
    assert source(plain) == {"doc": {"a": "x"}}


async def test_what_concerns_nothing_of_ours_stays_as_it_is():
    for to, requested in ((PLAIN, None), (PLAIN, "other"), (SEMANTIC, "_none")):
        one = item({"a": "x"})
        await run(here(), to, one, requested)
        assert not one.is_ingested
    for one in (item({"a": "x"}, "delete"), item({"a": "x"})):
        one.source = None if one.action == "delete" else b"rubbish"
        await run(here(), PLAIN, one, "first")
        assert not one.is_ingested
