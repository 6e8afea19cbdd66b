"""What the upstream makes of documents in pipelines, without storing any."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.ground.errors import IllegalArgument
from proxy.semantic.ingest.simulating import Draft, meta_of, simulate, told
from tests.unit.semantic.exchanges import Answer, world
from tests.unit.semantic.targets import target


def draft(**meta: Any) -> Draft:
    return Draft(data=b'{"a":1}', meta=meta)


def doc(source: Any, **more: Any) -> dict[str, Any]:
    return {"doc": {"_source": source, "_index": "_index", "_id": "_id", **more}}


async def run(pipeline: Any, drafts: list[Draft], *answers: Any) -> Any:
    here = world(target(), *answers)
    exchange, _ = here.exchange("POST", "/a/_bulk")
    await simulate(exchange, pipeline, drafts)
    return here.upstream.asked


def test_a_document_is_simulated_with_what_is_known_of_it():
    made = orjson.loads(draft(_index="i", routing="r", pipeline="p").rendered())
    assert made == {"_index": "i", "_routing": "r", "_source": {"a": 1}}
    assert draft(_id=None).rendered() == b'{"_source":{"a":1}}'
    assert meta_of({"_index": "i", "_routing": "r", "x": 1}) == {"_index": "i", "routing": "r"}


async def test_documents_become_what_a_stored_pipeline_makes_of_them():
    drafts = [draft(_index="i", routing="r"), draft(), draft(), draft()]
    failed = {"error": {"type": "illegal_argument_exception", "reason": "no", "x": 1}}
    docs = [doc({"b": 1.0}, _index="j", _id="7"), doc({}), None, failed]
    (asked,) = await run("p q", drafts, {"docs": docs})
    assert asked.target == "/_ingest/pipeline/p%20q/_simulate"
    assert drafts[0].data == b'{"b":1.0}'
    assert drafts[0].meta == {"_index": "j", "_id": "7"}
    assert drafts[1].meta == {}
    assert drafts[2].is_dropped
    error = drafts[3].error
    assert error is not None
    assert (error.status, error.type, error.extra) == (400, "illegal_argument_exception", {"x": 1})
    assert [one.is_open for one in drafts] == [True, True, False, False]


async def test_a_definition_goes_along():
    (asked,) = await run({"processors": []}, [draft()], {"docs": [doc({})]})
    assert asked.target == "/_ingest/pipeline/_simulate"
    assert asked.json["pipeline"] == {"processors": []}


async def test_nothing_is_asked_for_no_documents():
    assert await run("p", []) == []


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        (Answer({"error": "pipeline [p] does not exist"}, 404), 400, "with id [p] does not exist"),
        (Answer({}, 429), 429, "the pipeline [p] could not be run before texts are embedded"),
        (Answer({}, 302), 502, "the upstream answered [302]"),
        (Answer({}), 502, "without [docs]"),
        (Answer({"docs": [None]}), 502, "with [1] [docs] instead of [2]"),
        (Answer({"docs": ["x", {"doc": {}}]}), 502, "an unclear outcome"),
    ],
)
async def test_a_failure_is_that_of_every_document(answer: Answer, status: int, text: str):
    drafts = [draft(), draft()]
    await run("p", drafts, answer)
    for one in drafts:
        assert one.error is not None
        assert one.error.status == status
        assert text in one.error.reason


async def test_who_may_write_need_not_be_allowed_to_simulate():
    here = world(target(), Answer({}, 403))
    asked: list[tuple[str, str]] = []

    async def ask_as_proxy(method: str, target: str, body: bytes = b"") -> Answer:
        asked.append((method, target))
        return Answer({"p": {"processors": []}} if method == "GET" else {"docs": [doc({"b": 1})]})

    here.upstream.ask_as_proxy = ask_as_proxy  # type: ignore[method-assign]
    exchange, _ = here.exchange("POST", "/a/_bulk")
    one = draft()
    await simulate(exchange, "p", [one])
    assert one.data == b'{"b":1}'
    assert asked == [
        ("GET", "/_ingest/pipeline/p"),
        ("POST", "/_ingest/pipeline/p/_simulate"),
    ]


async def test_a_pipeline_that_cannot_be_read_now_is_not_run_by_the_proxy():
    here = world(target(), Answer({}, 403))

    async def ask_as_proxy(method: str, target: str, body: bytes = b"") -> Answer:
        assert method == "GET"
        return Answer({}, 429)

    here.upstream.ask_as_proxy = ask_as_proxy  # type: ignore[method-assign]
    exchange, _ = here.exchange("POST", "/a/_bulk")
    one = draft()
    await simulate(exchange, "p", [one])
    assert one.error is not None
    assert one.error.status == 503


async def test_but_a_pipeline_that_tells_who_writes_is_not_run_by_the_proxy():
    one = draft()
    await run({"processors": [{"set_security_user": {}}]}, [one], Answer({}, 403))
    assert one.error is not None
    assert one.error.status == 403
    assert "[on_failure] has a processor [set_security_user]" in one.error.reason


@pytest.mark.parametrize(
    ("kind", "status"), [("security_exception", 403), ("null_pointer_exception", 500)]
)
def test_errors_have_the_status_that_writing_would_have(kind: str, status: int):
    assert told({"type": kind, "reason": "x"}).status == status
    assert not isinstance(told({}), IllegalArgument)
