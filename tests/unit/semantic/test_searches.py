"""Requests with queries that the Elasticsearch of the integration tests has no modules for."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest

from proxy.ground.errors import IllegalArgument, Unauthorized
from tests.unit.semantic.exchanges import Answer, world
from tests.unit.semantic.targets import semantic_field, target
from tests.unit.semantic.test_pits import REAL

SEMANTIC: Final = {"semantic": {"field": "body", "query": "one"}}
HERE: Final = target(semantic_field())
HIT: Final = {"_index": "a", "_id": "1", "_source": {"body": "one"}}
FOUND: Final = {"hits": {"hits": [HIT]}}
STORED: Final = {
    "_index": "a",
    "_id": "1",
    "_source": {
        "body": ["far", "🚢 near"],
        "xinf": {
            "body": {
                "chunks": [
                    {"field": "body", "start": 0, "end": 3, "embeddings": [0.0, 1.0, 0.0]},
                    {"field": "body", "start": 4, "end": 11, "embeddings": [1.0, 0.1, 0.0]},
                ]
            }
        },
    },
}


def is_rewritten(query: Any) -> Any:
    return query["nested"]["query"]["knn"]["query_vector"] == [1.0, 0.0, 0.0]


async def test_documents_that_are_deleted_are_found_by_meaning():
    here = world(HERE, {"deleted": 1})
    assert await here.request("POST", "/a/_delete_by_query", {"query": SEMANTIC}) == {"deleted": 1}
    (asked,) = here.upstream.asked
    assert asked.target == "/a/_delete_by_query"
    assert is_rewritten(asked.json["query"])
    assert asked.json["query"]["nested"]["query"]["knn"]["k"] == 1000
    here = world(HERE, {})
    await here.request("POST", "/a/_delete_by_query?scroll_size=20", {"query": SEMANTIC})
    assert here.upstream.asked[0].json["query"]["nested"]["query"]["knn"]["k"] == 20


@pytest.mark.parametrize(("method", "path"), [("GET", "_count"), ("GET", "_validate/query")])
async def test_what_is_for_hits_is_left_where_there_are_none(method: str, path: str):
    here = world(HERE, Answer({"error": {"reason": "no"}}, 400))
    more = {"highlight": {"fields": {"body": {}}}, "fields": ["body"]}
    assert (await here.answer(method, f"/a/{path}", {"query": SEMANTIC, **more})).status == 400
    (asked,) = here.upstream.asked
    assert is_rewritten(asked.json["query"])
    assert asked.json.items() >= more.items()


async def test_what_stands_behind_a_search_is_for_the_upstream_to_refuse():
    here = world(HERE)
    await here.answer("POST", "/a/_search", orjson.dumps({"query": SEMANTIC}) + b"x")
    assert here.upstream.changes  # handed on as it came
    assert not here.upstream.asked


@pytest.mark.parametrize("target", ["_search?size=", "_delete_by_query?scroll_size="])
async def test_a_number_too_large_for_any_is_for_the_upstream_to_refuse(target: str):
    here = world(HERE, Answer({"error": {"reason": "no"}}, 400))
    body = {"query": SEMANTIC}
    assert (await here.answer("POST", f"/a/{target}{'1' * 5000}", body)).status == 400


async def test_rated_searches():
    body: dict[str, Any] = {
        "requests": [
            {"id": "x", "request": {"query": SEMANTIC}, "ratings": []},
            {"id": "y", "template_id": "t"},
        ],
        "metric": {"precision": {"k": 5}},
    }
    here = world(HERE, {"metric_score": 1})
    assert await here.request("POST", "/a/_rank_eval", body) == {"metric_score": 1}
    sent = here.upstream.asked[0].json
    assert is_rewritten(sent["requests"][0]["request"]["query"])
    assert sent["requests"][1] == body["requests"][1]
    assert sent["metric"] == body["metric"]


async def test_a_template_is_filled_in_first():
    here = world(HERE, {"template_output": {"query": SEMANTIC, "size": 3}}, FOUND)
    body = {"id": "t", "params": {"q": "one"}, "explain": True}
    assert await here.request("POST", "/a/_search/template", body) == FOUND
    rendering, search = here.upstream.asked
    assert rendering.target == "/_render/template"
    assert rendering.json == {"id": "t", "params": {"q": "one"}}
    assert search.target == "/a/_search"
    assert is_rewritten(search.json["query"])
    assert search.json["explain"] is True


async def test_many_templates():
    rendered = {"template_output": {"query": SEMANTIC}}
    here = world(HERE, rendered, rendered, {"responses": [FOUND, FOUND]})
    lines = b'{"index":"a"}\n{"id":"t"}\n{}\n{"source":"{}"}\n'
    answer = await here.request("POST", "/_msearch/template", lines)
    assert answer["responses"] == [FOUND, FOUND]
    assert here.upstream.asked[2].target == "/_msearch"
    assert here.endpoints.calls == [["one"]]


HIGHLIGHT: Final = {"fields": {"body": {"number_of_fragments": 1}}}


async def test_asynchronous_searches():
    completed = {"is_partial": False, "is_running": False, "response": FOUND}
    here = world(HERE, completed, {"hits": {"hits": [STORED]}})
    body = {"query": SEMANTIC, "highlight": HIGHLIGHT}
    answer = await here.request("POST", "/a/_async_search", body)
    assert here.upstream.asked[0].target == "/a/_async_search"
    assert answer["response"]["hits"]["hits"][0]["highlight"] == {"body": ["🚢 near"]}
    assert {**answer, "response": {}} == {"is_partial": False, "is_running": False, "response": {}}


async def test_an_asynchronous_search_can_be_asked_for_its_highlights_later():
    running = {"id": "x", "is_running": True, "response": {"hits": {"hits": []}}}
    here = world(HERE, running)
    body = {"query": SEMANTIC, "highlight": HIGHLIGHT, "aggs": {"own": {"max": {"field": "n"}}}}
    assert await here.request("POST", "/a/_async_search", body) == running
    sent = here.upstream.asked[0].json["aggs"]
    assert sent["own"] == {"max": {"field": "n"}}
    kept = {"xinf": {"doc_count": 0, "meta": sent["xinf"]["meta"]}, "own": {"value": 1}}
    finished = {"id": "x", "is_running": False, "response": {**FOUND, "aggregations": kept}}
    later = world(HERE, finished, {"hits": {"hits": [STORED]}})
    answer = await later.request("GET", "/_async_search/x")
    assert answer["response"]["hits"]["hits"][0]["highlight"] == {"body": ["🚢 near"]}
    assert answer["response"]["aggregations"] == {"own": {"value": 1}}


async def test_an_asynchronous_search_that_shows_nothing_of_ours_carries_nothing():
    here = world(HERE, {"id": "x", "is_running": True})
    await here.request("POST", "/a/_async_search", {"query": SEMANTIC})
    assert "aggs" not in here.upstream.asked[0].json


async def test_what_tells_of_an_asynchronous_search_is_kept():
    headers = {"X-Elasticsearch-Async-Id": "x", "X-Elasticsearch-Async-Is-Running": "?0"}
    here = world(HERE, Answer({"id": "x", "response": FOUND}, headers=headers), FOUND)
    body = {"query": SEMANTIC, "highlight": HIGHLIGHT}
    answer = await here.answer("POST", "/a/_async_search", body)
    assert headers.items() <= dict(answer.headers).items()


async def test_when_a_gateway_wants_to_be_asked_again_is_kept():
    refusal = Answer({"error": {"type": "x"}}, status=429, headers={"Retry-After": "7"})
    answer = await world(HERE, refusal).answer("POST", "/a/_search", {"query": SEMANTIC})
    assert (answer.status, answer.headers["Retry-After"]) == (429, "7")


async def test_retrievers_in_an_asynchronous_search():
    """What the proxy evaluates is what the upstream is asked for in the end, asynchronously."""
    ranked = {"responses": [{"hits": {"hits": [{**HIT, "_score": 2.0, "sort": [2.0, 0]}]}}] * 2}
    explained = {**HIT, "_score": 1.0, "_explanation": {"value": 1.0, "details": []}}
    completed = {"is_running": False, "response": {"hits": {"hits": [explained]}}}
    here = world(HERE, {"id": "pit"}, ranked, {}, completed)
    leaf = {"standard": {"query": SEMANTIC}}
    body = {"retriever": {"rrf": {"retrievers": [leaf, leaf]}}, "explain": True}
    answer = await here.request("POST", "/a/_async_search?wait_for_completion_timeout=2s", body)
    assert {**answer, "response": {}} == {"is_running": False, "response": {}}
    assert "rrf score" in str(answer["response"]["hits"]["hits"][0]["_explanation"])
    targets = [one.target for one in here.upstream.asked]
    assert targets[0].startswith("/a/_pit?")
    assert targets[1:3] == ["/_msearch", "/_pit"]
    assert targets[3] == "/a/_async_search?wait_for_completion_timeout=2s"
    assert "retriever" not in here.upstream.asked[3].json


async def test_vectors_are_asked_for_as_the_upstream_knows():
    """Releases before 9.2 show them unasked, and do not know how to be asked."""
    body = {"query": SEMANTIC, "highlight": {"fields": {"body": {"number_of_fragments": 1}}}}
    refused = Answer({"error": {"reason": "Unknown key for a BOOLEAN in [exclude_vectors]"}}, 400)
    here = world(HERE, FOUND, refused, {"hits": {"hits": [STORED]}})
    answer = await here.request("POST", "/a/_search", body)
    assert answer["hits"]["hits"][0]["highlight"] == {"body": ["🚢 near"]}
    asked = [one.json["_source"] for one in here.upstream.asked[1:]]
    assert asked[0] == {"includes": ["xinf.body.chunks", "body"], "exclude_vectors": False}
    assert "exclude_vectors" not in asked[1]


async def test_a_search_without_highlights_asks_once():
    here = world(HERE, FOUND)
    await here.request("POST", "/a/_search?size=20&pretty", {"query": SEMANTIC})
    (asked,) = here.upstream.asked
    assert asked.target == "/a/_search?size=20"
    assert asked.json["query"]["nested"]["query"]["knn"]["k"] == 20
    assert asked.json["_source"] == {"excludes": ["xinf"]}


async def test_the_indices_of_a_point_in_time():
    here = world(HERE, FOUND)
    await here.request("POST", "/_search", {"pit": {"id": REAL}, "query": SEMANTIC})
    assert here.registry.looked_up == ["q-a,q-b"]


async def test_remote_clusters_are_refused():
    here = world(HERE, FOUND)
    with pytest.raises(IllegalArgument, match=r"\[far:b\]"):
        await here.request("POST", "/a,far:b/_search", {"query": SEMANTIC})
    assert here.endpoints.calls == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/a/_search", {"query": SEMANTIC}),
        ("/a/_search/template", {"source": {"query": SEMANTIC}}),
        ("/a/_async_search", {"query": SEMANTIC}),
    ],
)
async def test_nothing_is_embedded_for_who_may_not_search(path, body):
    here = world(HERE, {"template_output": {"query": SEMANTIC}})
    here.guard.denial = Unauthorized("you may not")
    with pytest.raises(Unauthorized):
        await here.request("POST", path, body)
    assert here.endpoints.calls == []


async def test_templates_of_many_searches_are_refused_one_by_one():
    here = world(HERE, {"template_output": {"query": SEMANTIC}})
    here.guard.denial = Unauthorized("you may not")
    lines = b'{"index":"a"}\n{"source":"{}"}\n' * 2
    answer = await here.request("POST", "/_msearch/template", lines)
    assert [one["status"] for one in answer["responses"]] == [403, 403]
    assert here.endpoints.calls == []


async def test_a_document_that_is_explained_is_asked_for_as_json():
    before = world(HERE, {"matched": True, "get": {"_source": {"body": "x"}}})
    answer = await before.answer("GET", "/a/_explain/1?_source=true&format=yaml&q=x")
    assert before.upstream.asked[0].target == "/a/_explain/1?q=x&_source_excludes=xinf"
    assert answer.body.startswith(b"---\n")  # type: ignore[attr-defined]
