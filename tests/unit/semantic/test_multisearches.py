"""`_msearch`, `_msearch/template` and `_rank_eval`."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest

from tests.unit.semantic.exchanges import Answer, world
from tests.unit.semantic.targets import STORED, semantic_field, target

HERE: Final = target(semantic_field())
SEMANTIC: Final = {"query": {"semantic": {"field": "body", "query": "one"}}}
PLAIN: Final = {"query": {"term": {"a": 1}}}
FOUND: Final = {"hits": {"hits": [{"_index": "a", "_id": "1", "_source": {"xinf": {}}}]}}


def lines(*parts: Any) -> bytes:
    return b"".join(orjson.dumps(one) + b"\n" for one in parts)


async def test_the_texts_of_all_searches_are_embedded_together():
    here = world(HERE, {"responses": [FOUND, FOUND]})
    other = {"query": {"semantic": {"field": "body", "query": "two"}}}
    answer = await here.request("POST", "/a/_msearch", lines({}, SEMANTIC, {}, other))
    assert here.endpoints.calls == [["one", "two"]]
    assert [one["hits"]["hits"][0]["_source"] for one in answer["responses"]] == [{}, {}]
    (asked,) = here.upstream.asked
    sent = [orjson.loads(line) for line in asked.body.splitlines()]
    assert sent[0] == {}
    assert sent[1]["_source"] == {"excludes": ["xinf"]}


async def test_a_search_of_an_index_without_sources_is_repeated_without_a_filter():
    error = {"type": "x", "reason": "_source is disabled in the mappings for index [a]"}
    refused = {"error": error, "status": 400}
    bare = {"hits": {"hits": [{"_index": "a", "_id": "1"}]}}
    here = world(HERE, {"responses": [FOUND, refused]}, {"responses": [bare]})
    body = lines({}, {**SEMANTIC, "_source": ["body"]}, {"index": "a"}, SEMANTIC)
    answer = await here.request("POST", "/a/_msearch?max_concurrent_searches=1", body)
    assert answer["responses"][1] == bare
    again = here.upstream.asked[1]
    assert again.target == "/a/_msearch?max_concurrent_searches=1"
    header, sent = [orjson.loads(line) for line in again.body.splitlines()]
    assert header == {"index": "a"}
    assert "_source" not in sent


async def test_a_filter_of_the_callers_own_stays_refused():
    error = {"type": "x", "reason": "_source is disabled in the mappings for index [a]"}
    here = world(HERE, {"responses": [{"error": error, "status": 400}]})
    answer = await here.request("POST", "/a/_msearch", lines({}, {**SEMANTIC, "_source": "body"}))
    assert answer["responses"][0]["status"] == 400
    assert len(here.upstream.asked) == 1


async def test_inference_fields_are_shown_where_they_are_asked_for():
    here = world(HERE, {"responses": [{"hits": {"hits": [STORED]}}]})
    body = lines({}, {**SEMANTIC, "fields": ["_inference_fields"]})
    answer = await here.request("POST", "/a/_msearch", body)
    source = answer["responses"][0]["hits"]["hits"][0]["_source"]
    assert source["_inference_fields"]["body"]["inference"]["inference_id"] == "e"
    assert "xinf" not in source


async def test_vectors_are_shown_to_those_searches_that_ask_for_them():
    here = world(HERE, {"responses": [{"hits": {"hits": [STORED]}}, FOUND]})
    asking = {"fields": ["_inference_fields"]}
    answer = await here.request("POST", "/a/_msearch", lines({}, asking, {}, SEMANTIC))
    first, second = (one["hits"]["hits"][0]["_source"] for one in answer["responses"])
    assert first["_inference_fields"].keys() == {"body"}
    assert second == {}
    sent = [orjson.loads(line) for line in here.upstream.asked[0].body.splitlines()]
    assert sent[1] == {"_source": {"exclude_vectors": False}}
    assert sent[3]["_source"] == {"excludes": ["xinf"]}


async def test_a_search_that_fails_has_its_error_in_its_place():
    here = world(HERE, {"responses": [FOUND]})
    wrong = {"query": {"semantic": {"field": "body"}}}
    answer = await here.request("POST", "/a/_msearch", lines({}, wrong, {}, SEMANTIC))
    first, second = answer["responses"]
    assert first["status"] == 400
    assert "hits" in second
    assert len(here.upstream.asked[0].body.splitlines()) == 2


async def test_if_all_fail_nothing_is_sent():
    here = world(HERE)
    wrong = {"query": {"semantic": {"field": "body"}}}
    answer = await here.request("POST", "/a/_msearch", lines({}, wrong))
    assert answer["responses"][0]["status"] == 400
    assert here.upstream.asked == []


@pytest.mark.parametrize(
    "body", [b"", b"{}\n", b"{}\nrubbish\n", b"{}\n{}\n ", lines({}, []), lines({}, PLAIN)]
)
async def test_what_is_not_ours_is_passed_on(body: bytes):
    here = world(target())
    await here.request("POST", "/a/_msearch", body)
    assert len(here.upstream.handed) == 1
    assert here.upstream.asked == []
    # The upstream may read it in another way.
    assert here.upstream.changes[0].whole(b'{"_source":{"xinf":1}}', None) == b'{"_source":{}}'


async def test_a_line_at_the_end_counts_for_nothing():
    here = world(HERE, {"responses": [FOUND]})
    answer = await here.request("POST", "/a/_msearch", lines({}, SEMANTIC, {"index": "x"}))
    assert len(answer["responses"]) == 1


@pytest.mark.parametrize(
    ("header", "looked_up"),
    [
        ({}, "p"),
        ({"index": "x"}, "x"),
        ({"indices": ["x", "y"]}, "x,y"),
        ({"index": ""}, "_all"),
        ({"index": []}, "_all"),
        ({"index": 1}, "1"),
        ({"index": [True, "x"]}, "true,x"),
        ({"index": "x", "indices": "y"}, "x"),  # in whatever order: Java's map has its own
        ({"indices": "y", "index": "x"}, "x"),
        (None, "p"),
    ],
)
async def test_a_line_says_where_its_search_goes(header: Any, looked_up: str):
    here = world(HERE, {"responses": [FOUND]})
    await here.request("POST", "/p/_msearch", lines(header, SEMANTIC))
    assert here.registry.looked_up[0] == looked_up


async def test_a_refusal_of_the_whole_is_told_in_the_users_words():
    refused = Answer({"error": {"reason": "[xinf.body.chunks]"}, "status": 400}, 400)
    answer = await world(HERE, refused).answer("POST", "/a/_msearch", lines({}, SEMANTIC))
    assert answer.status == 400
    assert b"xinf" not in answer.body  # type: ignore[attr-defined]


async def test_a_template_that_cannot_be_filled_in_is_the_upstreams_to_refuse():
    here = world(HERE, Answer({}, 400))
    await here.request("POST", "/_msearch/template", lines({}, {"id": "t"}))
    assert len(here.upstream.handed) == 1


@pytest.mark.parametrize("body", [{}, {"requests": 1}, b"rubbish"])
async def test_ratings_that_cannot_be_read_are_passed_on(body: Any):
    here = world(HERE)
    await here.request("POST", "/a/_rank_eval", body)
    assert len(here.upstream.handed) == 1
