"""Answers that are none of an Elasticsearch's, and what is in those that are."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest
from aiohttp import web

from proxy.ground.errors import UpstreamBroken
from proxy.semantic.answerjson import entries_of, items_of, with_sources
from tests.unit.semantic.exchanges import Answer, world
from tests.unit.semantic.targets import semantic_field, target

HERE: Final = target(semantic_field())
PAGE: Final = b"<html>the gateway has a problem</html>"
BROKEN_OFF: Final = b'{"hits":{"hits":[{"xinf'
SEMANTIC: Final = {"semantic": {"field": "body", "query": "one"}}
QUERY: Final = {"query": SEMANTIC}
LEAF: Final = {"standard": QUERY}
RRF: Final = {"retriever": {"rrf": {"retrievers": [LEAF, LEAF]}}}
ASKING: Final = [
    ("POST", "/a/_search", QUERY),
    ("POST", "/a/_search?pretty", QUERY),
    ("POST", "/a/_search", RRF),
    ("POST", "/a/_async_search", QUERY),
    ("POST", "/a/_msearch", b'{}\n{"query":{"semantic":{"field":"body","query":"one"}}}\n'),
    ("POST", "/a/_count", QUERY),
    ("POST", "/a/_explain/1", QUERY),
    ("POST", "/a/_rank_eval", {"requests": [{"id": "1", "request": QUERY}]}),
    ("POST", "/a/_delete_by_query", QUERY),
    ("GET", "/a/_field_caps?fields=*", {}),
    ("GET", "/a/_mapping/field/*", {}),
]
# What changes answers only where they tell of our fields.
SHOWING: Final[list[tuple[str, str, dict[str, str]]]] = [
    ("GET", "/_search/scroll/x", {}),
    ("GET", "/_async_search/x", {}),
    ("GET", "/a/_mapping", {}),
    ("GET", "/_cluster/state", {}),
    ("GET", "/_ingest/pipeline/p", {}),
]


@pytest.mark.parametrize("page", [PAGE, BROKEN_OFF, b""])
@pytest.mark.parametrize("status", [200, 404, 503])
@pytest.mark.parametrize(("method", "path", "body"), ASKING)
async def test_what_is_no_json_is_a_bad_gateways(method, path, body, status, page):
    here = world(HERE, Answer(page, status))
    with pytest.raises(UpstreamBroken) as raised:
        await here.request(method, path, body)
    assert raised.value.status == 502
    assert "gateway has" not in str(raised.value)


@pytest.mark.parametrize("status", [200, 404, 503])
@pytest.mark.parametrize(("method", "path", "body"), SHOWING)
async def test_a_page_is_passed_back_unless_it_names_our_fields(method, path, body, status):
    answer = await world(HERE, Answer(PAGE, status)).answer(method, path, body)
    assert isinstance(answer, web.Response)
    assert answer.body == PAGE
    with pytest.raises(UpstreamBroken):
        await world(HERE, Answer(BROKEN_OFF, status)).answer(method, path, body)


@pytest.mark.parametrize("body", [b"null", b"[]", b"5", b'"gone"'])
@pytest.mark.parametrize("status", [200, 404])
async def test_what_is_no_object_is_too(body, status):
    search = {**QUERY, "highlight": {"fields": {"body": {}}}}
    with pytest.raises(UpstreamBroken):
        await world(HERE, Answer(body, status)).request("POST", "/a/_search", search)


async def test_a_template_that_is_rendered_into_none_is_too():
    with pytest.raises(UpstreamBroken):
        await world(HERE, Answer(PAGE)).request("POST", "/a/_search/template", {"source": "{}"})


@pytest.mark.parametrize("page", [PAGE, BROKEN_OFF, b"[]", b'{"_source":{'])
def test_there_are_no_documents_in_a_page(page):
    with pytest.raises(UpstreamBroken):
        with_sources(page)


def test_documents_are_taken_out_as_bytes():
    sources = [b'{"n": 1.10}', b"{}"]
    hits = b",".join(b'{"_id":"1","_source":%b}' % one for one in sources)
    document, found = with_sources(b'{"hits":[%b]}' % hits)
    assert [found[hit["_source"]] for hit in document["hits"]] == sources


SAID: Final = {"_index": "a", "_id": "1", "status": 201}
FAILED: Final = {"_index": "a", "_id": None, "status": 429, "error": {"type": "x"}}


@pytest.mark.parametrize(
    "entry",
    [
        *(None, "x", 5, [], {}, {"index": None}, {"index": 5}, {"index": SAID, "delete": SAID}),
        *({"index": {**SAID, "status": status}} for status in (None, "201", True, 0, 99999, 1e300)),
        *({"index": {**SAID, name: None}} for name in ("_index", "_id", "error")),
        *({"index": {**FAILED, "error": "x"}}, {"index": {**FAILED, "error": []}}),
    ],
)
def test_what_elasticsearch_says_of_no_item_is_a_bad_gateways(entry: Any):
    with pytest.raises(UpstreamBroken):
        entries_of(Answer({"items": [entry]}), 1)


def test_a_status_may_be_written_as_a_fraction():
    body = orjson.dumps({"items": [{"index": SAID}, {"update": FAILED}]}).replace(b"201", b"2.01e2")
    entries = entries_of(Answer(body), 2)
    assert entries == [{"index": SAID}, {"update": FAILED}]
    assert orjson.dumps(entries[0]["index"]["status"]) == b"201"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_there_are_as_many_items_as_were_asked_for(count: int):
    answer = Answer({"docs": [{}, {}]})
    assert len(items_of(answer, "docs", 2)) == len(items_of(answer, "docs")) == 2
    with pytest.raises(
        UpstreamBroken, match=rf"answered 200 with \[2] \[docs] instead of \[{count}]"
    ):
        items_of(answer, "docs", count)
