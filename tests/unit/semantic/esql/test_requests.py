"""Requests with ES|QL queries, before an upstream that answers as the test says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import orjson
import pytest

from proxy.ground.errors import Unauthorized
from proxy.inference.endpoints import TaskType
from proxy.semantic.errors import VerificationFailed
from proxy.semantic.esql.columns import ColumnCutter
from tests.unit.semantic.exchanges import Endpoints, World, world
from tests.unit.semantic.targets import semantic_field, target

HERE: Final = target(semantic_field())
KNN: Final = 'FROM a METADATA _score | WHERE KNN(v, TEXT_EMBEDDING("one", "e")) | LIMIT 3'
MADE: Final = "FROM a METADATA _score | WHERE KNN(v, TO_DENSE_VECTOR([1.0, 0.0, 0.0])) | LIMIT 3"


class NoEndpoints(Endpoints):
    async def find(self, inference_id):
        return None


def handed(here: World) -> Any:
    (one,) = here.upstream.handed
    return one


class Rerankers(Endpoints):
    async def find(self, inference_id):
        return replace(await super().find(inference_id), task_type=TaskType.RERANK)


@pytest.mark.parametrize("path", ["/_query", "/_query/async"])
async def test_a_text_is_embedded(path: str):
    here = world(HERE)
    await here.request("POST", f"{path}?pretty", {"query": KNN})
    sent = handed(here)
    assert sent.target == f"{path}?pretty"
    assert sent.json == {"query": MADE}
    assert here.endpoints.calls == [["one"]]
    assert here.registry.looked_up == ["a"]


async def test_all_else_of_the_body_stays_as_it_was():
    here = world(HERE)
    body = b'{ "columnar" : true, "query": %b, "x":1.50 ,"params":[ 1e400 ] }'
    await here.request("POST", "/_query", body % orjson.dumps(KNN))
    assert handed(here).body == body % orjson.dumps(MADE)


async def test_each_text_is_embedded_once():
    here = world(HERE)
    query = 'ROW a = TEXT_EMBEDDING("x", "e"), b = TEXT_EMBEDDING(?, "e"), c = ? | EVAL d = ?'
    await here.request("POST", "/_query", {"query": query, "params": ["x", 2, 3]})
    assert here.endpoints.calls == [["x"]]
    vector = "TO_DENSE_VECTOR([1.0, 0.0, 0.0])"
    assert handed(here).json["query"] == f"ROW a = {vector}, b = {vector}, c = ?2 | EVAL d = ?3"


@pytest.mark.parametrize(
    "body",
    [
        {"query": "FROM a | LIMIT 1"},
        {"query": 'ROW v = "text_embedding"'},
        {"query": 'FROM a | EVAL v = TEXT_EMBEDDING(body, "e")'},
        {"query": 7},
        b"rubbish",
        b"",
    ],
)
async def test_what_embeds_nothing_is_passed_on(body: Any):
    here = world(HERE)
    await here.request("POST", "/_query", body)
    assert handed(here).target == ""
    assert here.endpoints.calls == []


async def test_an_endpoint_of_others_is_passed_on():
    here = world(HERE)
    here.endpoints = NoEndpoints()
    await here.request("POST", "/_query", {"query": KNN})
    assert handed(here).target == ""


async def test_an_endpoint_of_another_task_is_refused():
    here = world(HERE)
    here.endpoints = Rerankers()
    with pytest.raises(VerificationFailed) as raised:
        await here.request(
            "POST", "/_query", {"query": 'ROW a = 1\n| EVAL v = TEXT_EMBEDDING("x", "e")'}
        )
    assert raised.value.reason == (
        "Found 1 problem\nline 2:32: cannot use inference endpoint [e] with task type [rerank] "
        "within a text_embedding function. Only inference endpoints with the task type "
        "[text_embedding] are supported."
    )
    assert here.upstream.handed == []


@pytest.mark.parametrize("query", [KNN, 'ROW v = TEXT_EMBEDDING("x", "e")'])
async def test_nothing_is_embedded_for_who_may_not_search(query: str):
    here = world(HERE)
    here.guard.denial = Unauthorized("you may not")
    with pytest.raises(Unauthorized):
        await here.request("POST", "/_query", {"query": query})
    assert here.endpoints.calls == []


@pytest.mark.parametrize(
    ("method", "path", "body", "columnar"),
    [
        ("POST", "/_query", {"query": "FROM a"}, False),
        ("POST", "/_query", {"query": "FROM a", "columnar": True}, True),
        ("POST", "/_query/async", {"query": KNN, "columnar": "true"}, True),
        ("GET", "/_query/async/x", b"", None),
        ("POST", "/_query/async/x/stop", b"", None),
    ],
)
async def test_answers_lose_columns_of_ours(method: str, path: str, body: Any, columnar: Any):
    here = world(HERE)
    await here.answer(method, path, body)
    (change,) = here.upstream.changes
    cutter = change.begun()
    assert isinstance(cutter, ColumnCutter)
    assert cutter._columnar is columnar
