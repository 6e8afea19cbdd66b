"""Inference processors of pipelines, and what happens where they fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson
import pytest

from proxy.ground.errors import StatusError
from proxy.semantic.ingest.processors import Passage, Runner, recovery
from proxy.semantic.ingest.simulating import Draft
from proxy.semantic.pipelines import Input, Pipeline, Processor
from tests.unit.semantic import exchanges
from tests.unit.semantic.exchanges import World, world
from tests.unit.semantic.targets import target

SET: Final = {"set": {"field": "failed", "value": True}}


class Endpoints(exchanges.Endpoints):
    """Makes each text longer, and fails for `bad` ones."""

    async def infer(self, endpoint, texts, deadline, input_type=None):
        self.calls.append(list(texts))
        if any("bad" in text for text in texts):
            error = StatusError(400, "refused {{it}}")
            error.provider_status = 422
            raise error
        return [f"{text}!" for text in texts]


def here(*answers: Any) -> World:
    made = world(target(), *answers)
    made.endpoints = Endpoints()
    return made


def processor(field: str = "a", output: str = "b", **more: Any) -> Processor:
    return Processor(model_id="e", inputs=(Input(field, output),), **more)


def passages(*texts: str, **pipeline: Any) -> list[Passage]:
    given: dict[str, Any] = {"before": (processor(),), "after": (), **pipeline}
    made = Pipeline(id="p", **given)
    return [Passage(Draft(data=orjson.dumps({"a": text}), meta={}), made) for text in texts]


async def before(world: World, passages: Sequence[Passage]) -> None:
    exchange, _ = world.exchange("POST", "/a/_bulk")
    await Runner(exchange).before(passages)


def content(passage: Passage) -> Any:
    return orjson.loads(passage.draft.data)


async def test_processors_run_one_after_the_other_on_all_documents_together():
    found = passages("x", "y", before=(processor(), processor("b", "c")))
    before_them = here()
    await before(before_them, found)
    assert before_them.endpoints.calls == [["x", "y"], ["x!", "y!"]]
    assert [content(one)["c"] for one in found] == ["x!!", "y!!"]


async def test_those_at_the_end_run_alone():
    found = passages("x", before=(), after=(processor(),))
    exchange, _ = here().exchange("POST", "/a/_bulk")
    runner = Runner(exchange)
    await runner.before(found)
    assert "b" not in content(found[0])
    await runner.after(found)
    assert content(found[0])["b"] == "x!"


async def test_a_failure_ends_its_document():
    found = passages("bad", "y", before=(processor(), processor("a", "c")))
    await before(here(), found)
    assert [one.is_open for one in found] == [False, True]
    assert found[0].draft.error is not None


async def test_a_failure_may_be_ignored():
    found = passages("bad", before=(processor(ignore_failure=True),))
    await before(here(), found)
    assert found[0].is_open
    assert content(found[0]) == {"a": "bad"}


@pytest.mark.parametrize("own", [True, False])
async def test_handlers_are_run_by_the_upstream(own: bool):
    """After those of a processor the pipeline goes on, after its own it has ended."""
    handled = {"doc": {"_source": {"a": "x", "failed": True}}}
    world = here({"docs": [handled]})
    first = processor(on_failure=[SET], tag="t") if own else processor(tag="t")
    found = passages(
        "bad", before=(first, processor("a", "c")), **({} if own else {"on_failure": (SET,)})
    )
    await before(world, found)
    (passage,) = found
    assert content(passage) == (
        {"a": "x", "failed": True, "c": "x!", "model_id": "e"}
        if own
        else {"a": "x", "failed": True}
    )
    assert passage.has_ended is not own
    failing = world.upstream.asked[0].json["pipeline"]["processors"][0]["fail"]
    assert failing["tag"] == "t"
    assert failing["on_failure"][-1] == SET


def test_what_looks_like_a_template_in_an_error_is_not_filled_in():
    made = recovery(StatusError(400, "a {{b}}"), None, "p", [SET])
    failing = made["processors"][0]["fail"]
    assert failing["message"] == "a { {b}}"
    assert "tag" not in failing
    known = [one["set"]["value"] for one in failing["on_failure"][:-1]]
    assert known == ["inference", "p"]
