"""Requests about ingest pipelines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from proxy.ground.errors import IllegalArgument, StatusError, UpstreamUnavailable
from proxy.semantic.pipelines import read_pipeline, split
from proxy.semantic.targets import Pipelines, WriteTarget
from tests.unit.semantic import exchanges
from tests.unit.semantic.exchanges import Answer, World, world
from tests.unit.semantic.targets import target

INFER: Final[dict[str, Any]] = {
    "inference": {"model_id": "e", "input_output": {"input_field": "a", "output_field": "b"}}
}
SET: Final[dict[str, Any]] = {"set": {"field": "c", "value": 1}}
DEFINITION: Final = {"processors": [INFER, SET]}


def stored(*processors: Any) -> dict[str, Any]:
    definition = {"processors": list(processors)}
    found = split(definition, {"e"}.__contains__)
    assert found is not None
    return found.stored(definition)


class Endpoints(exchanges.Endpoints):
    async def infer(self, endpoint, texts, deadline, input_type=None):
        return [f"{text}!" for text in texts]


def here(*answers: Any, **pipelines: Any) -> World:
    made = world(target(), *answers)
    made.endpoints = Endpoints()
    found = (read_pipeline(name, one) for name, one in pipelines.items())
    ours = {one.id: one for one in found if one is not None}
    made.registry.snapshot = replace(made.registry.snapshot, pipelines=ours)
    return made


async def test_processors_of_ours_are_kept_beside_a_pipeline():
    before = here({}, {"acknowledged": True})
    assert await before.request("PUT", "/_ingest/pipeline/p", DEFINITION) == {"acknowledged": True}
    sent = before.upstream.asked[-1].json
    assert sent["processors"] == [SET]
    assert sent["_meta"]["xinf"] == {"before": [INFER], "after": []}


@pytest.mark.parametrize(
    "body", [b"", b"rubbish", b'["inference"]', {"processors": [SET]}, {"inference": 1}]
)
async def test_other_pipelines_are_passed_on(body: Any):
    before = here()
    await before.request("PUT", "/_ingest/pipeline/p", body)
    assert len(before.upstream.handed) == 1


async def test_a_pipeline_of_ours_is_not_called_by_others():
    calling = {"processors": [{"pipeline": {"name": "ours"}}]}
    with pytest.raises(IllegalArgument, match=r"\[p\] cannot call pipeline \[ours\]"):
        await here(ours=stored(INFER)).request("PUT", "/_ingest/pipeline/p", calling)
    itself = {"processors": [INFER, {"pipeline": {"name": "p"}}]}
    with pytest.raises(IllegalArgument, match=r"\[p\] cannot call pipeline \[p\]"):
        await here().request("PUT", "/_ingest/pipeline/p", itself)
    before = here({"caller": {"processors": [{"pipeline": {"name": "p"}}]}})
    with pytest.raises(IllegalArgument, match=r"\[caller\] cannot call pipeline \[p\]"):
        await before.request("PUT", "/_ingest/pipeline/p", DEFINITION)


async def test_none_is_put_while_nobody_can_tell_whether_others_call_it():
    with pytest.raises(UpstreamUnavailable):
        await here(Answer({}, 503)).request("PUT", "/_ingest/pipeline/p", DEFINITION)


async def test_a_proxy_that_cannot_read_pipelines_takes_none():
    before = here()
    before.registry.stored_pipelines.is_readable = False
    with pytest.raises(StatusError, match=r"needs \[read_pipeline\]"):
        await before.request("PUT", "/_ingest/pipeline/p", DEFINITION)


async def test_pipelines_are_shown_as_they_were_put():
    before = here({"p": stored(INFER, SET), "q": {"processors": [SET]}})
    assert await before.request("GET", "/_ingest/pipeline") == {
        "p": DEFINITION,
        "q": {"processors": [SET]},
    }


DOCS: Final = [{"_index": "i", "_source": {"a": "x"}}]
MADE: Final = {"docs": [{"doc": {"_index": "i", "_id": "_id", "_source": {"a": "x", "c": 1}}}]}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/_ingest/pipeline/p/_simulate", {"docs": DOCS}),
        ("/_ingest/pipeline/_simulate", {"docs": DOCS, "pipeline": DEFINITION}),
    ],
)
async def test_a_pipeline_is_tried_out(path: str, body: Any):
    before = here({"docs": []}, MADE, p=stored(INFER, SET))
    answer = await before.request("POST", path, body)
    assert answer == MADE  # of what the upstream made of the document that it got
    sent = before.upstream.asked[1].json
    assert sent["docs"][0]["_source"] == {"a": "x", "model_id": "e", "b": "x!"}
    assert ("pipeline" in sent) is ("pipeline" in body)


async def test_processors_at_the_end_are_tried_out_as_well():
    before = here({"docs": []}, MADE, p=stored(SET, INFER))
    answer = await before.request("POST", "/_ingest/pipeline/p/_simulate", {"docs": DOCS})
    assert answer["docs"][0]["doc"]["_source"]["b"] == "x!"


async def test_a_failure_is_shown_in_the_place_of_its_document():
    docs = [{"_source": {"a": 1}}, *DOCS]
    before = here({"docs": []}, MADE, p=stored(INFER, SET))
    answer = await before.request("POST", "/_ingest/pipeline/p/_simulate", {"docs": docs})
    first, second = answer["docs"]
    assert "is not a text field" in first["error"]["reason"]
    assert "doc" in second


async def test_who_may_not_try_out_calls_no_provider():
    before = here(Answer({"error": "no"}, 403), p=stored(INFER))
    answer = await before.answer("POST", "/_ingest/pipeline/p/_simulate", {"docs": DOCS})
    assert answer.status == 403


@pytest.mark.parametrize("query", ["?verbose", "?verbose=true"])
async def test_every_step_cannot_be_shown(query: str):
    with pytest.raises(IllegalArgument, match=r"\[verbose\] is not possible"):
        await here(p=stored(INFER)).request(
            "POST", f"/_ingest/pipeline/p/_simulate{query}", {"docs": DOCS}
        )


@pytest.mark.parametrize(
    "body", [b"rubbish", {}, {"docs": []}, {"docs": [{}]}, {"docs": [{"_source": 1}]}]
)
async def test_what_the_upstream_refuses_is_passed_on(body: Any):
    before = here(p=stored(INFER))
    await before.request("POST", "/_ingest/pipeline/p/_simulate", body)
    assert len(before.upstream.handed) == 1


async def test_ingest_is_simulated_only_where_the_upstream_can_do_it_all():
    before = here({"docs": []}, p=stored(INFER))
    index = WriteTarget(index="i", fields={}, pipelines=Pipelines(main="p"))
    before.registry.snapshot.written.keep("i", index)
    before.registry.snapshot.written.keep("j", WriteTarget(index="j", fields={}))
    with pytest.raises(IllegalArgument, match=r"ingest into \[i\] cannot be simulated"):
        await before.request("POST", "/_ingest/_simulate", {"docs": DOCS})
    await before.request("POST", "/_ingest/j/_simulate", {"docs": [{"_source": {}}]})
    assert len(before.upstream.asked) == 1
