"""Documents are read without what the layer has added to them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import orjson
import pytest

from proxy.semantic.reading import cut, showing
from tests.unit.semantic.clusters import answered
from tests.unit.semantic.exchanges import World, world
from tests.unit.semantic.targets import semantic_field, target

HERE: Final = target(semantic_field())
HIDDEN: Final = {"excludes": ["xinf"]}


def handed(here: World) -> Any:
    (one,) = here.upstream.handed
    return one


def cuts(here: World) -> bool:
    """Whether what the layer adds is kept out of the answer to a request that was passed on."""
    (change,) = here.upstream.changes
    return change is not None and change.whole(b'{"_source":{"xinf":1}}', None) is not None


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/a/_doc/1", "/a/_doc/1?_source_excludes=xinf"),
        ("/a/_source/1?realtime=false", "/a/_source/1?realtime=false&_source_excludes=xinf"),
        ("/a/_doc/1?_source=false", "/a/_doc/1?_source=false"),
    ],
)
async def test_a_document(path: str, sent: str):
    here = world(HERE)
    await here.request("GET", path)
    assert handed(here).target == sent


async def test_a_document_of_another_index_is_passed_on():
    here = world(target())
    await here.request("GET", "/a/_doc/1")
    assert handed(here).target == ""


async def test_an_answer_of_an_index_that_nobody_knows_shows_nothing_of_ours():
    here = world(replace(target(), exists=False))
    await here.request("GET", "/a/_doc/1")
    assert handed(here).target == ""
    assert cuts(here)
    here = world(replace(target(), is_clear=False))
    await here.request("GET", "/a/_doc/1")
    assert cuts(here)
    here = world(target())
    await here.request("GET", "/a/_doc/1")
    assert not cuts(here)


async def test_documents_with_filters_of_their_own():
    here = world(HERE)
    docs = [{"_id": "1"}, {"_id": "2", "_source": ["body"]}, {"_id": "3", "_source": False}]
    await here.request("POST", "/a/_mget", {"docs": docs})
    sent = handed(here)
    assert sent.target == "/a/_mget?_source_excludes=xinf"
    made = sent.json["docs"]
    assert made[0] == docs[0]
    assert made[1]["_source"]["excludes"] == ["xinf"]
    assert made[2] == docs[2]


async def test_documents_that_ask_for_stored_fields_show_no_source():
    here = world(HERE)
    docs = [{"_id": "1", "stored_fields": ["x"]}, {"_id": "2"}]
    await here.request("POST", "/a/_mget", {"docs": docs})
    sent = handed(here)
    assert sent.target == "/a/_mget"
    assert sent.json["docs"] == [docs[0], {"_id": "2", "_source": HIDDEN}]


@pytest.mark.parametrize("body", [{"docs": [{"_index": "x", "_id": "1"}]}, {"ids": ["1"]}, {}])
async def test_documents_of_other_indices_are_passed_on(body: Any):
    here = world(target())
    await here.request("POST", "/_mget", body)
    assert handed(here).target == ""
    assert cuts(here)  # as the upstream may read it in another way


async def test_documents_in_a_body_that_cannot_be_read_show_nothing_of_ours():
    here = world(HERE)
    await here.request("POST", "/a/_mget", b"rubbish")
    assert handed(here).target == ""
    assert cuts(here)


@pytest.mark.parametrize("body", [{"docs": 1}, {"docs": [1, {}]}])
async def test_what_cannot_be_read_is_for_the_upstream_to_refuse(body: Any):
    here = world(HERE)
    await here.request("POST", "/a/_mget", body)
    assert handed(here).target == "/a/_mget?_source_excludes=xinf"


async def shown(body: Any, query: str = "", *, is_alone: bool = True) -> Any:
    exchange, _ = world(HERE).exchange("POST", f"/a/_search{query}", body)
    return await showing(exchange, body, HERE, is_alone=is_alone)


@pytest.mark.parametrize(
    ("body", "source", "has_own"),
    [
        ({"size": 1}, HIDDEN, False),
        ({"_source": "body"}, {"includes": ["body"], "excludes": ["xinf"]}, True),
        ({"_source": False}, False, True),
        ({"stored_fields": ["x"]}, None, True),
    ],
)
async def test_a_search(body: Any, source: Any, has_own: bool):
    made = await shown(body)
    assert made.body.get("_source") == source
    assert made.has_own_filter is has_own
    assert made.replacement is None


async def test_the_filter_of_the_url_goes_before_that_of_the_body():
    made = await shown({"size": 1}, "?_source_includes=body")
    assert "_source" not in made.body
    assert made.parameters == {"_source_includes": "body", "_source_excludes": "xinf"}


async def test_inference_fields_are_shown_where_they_are_asked_for():
    made = await shown({"fields": ["_inference_fields"]})
    assert "fields" not in made.body
    assert made.replacement is not None
    assert (await shown({"fields": ["a", "_inference_fields"]})).body["fields"] == ["a"]


async def test_hits_within_are_filtered_as_well():
    made = await shown({"aggs": {"x": {"top_hits": {"size": 1}}}})
    assert made.body["aggs"]["x"]["top_hits"] == {"size": 1, "_source": HIDDEN}


async def test_an_index_without_sources_may_refuse_the_filter():
    made = await shown({"size": 1})
    refusal = answered(400, {"error": "_source is disabled in the mappings for index [a]"})
    assert made.is_refused(refusal)
    assert not made.is_refused(answered(400, {}))
    assert made.unfiltered().body == {"size": 1}
    assert not (await shown({"_source": "body"})).is_refused(refusal)


@pytest.mark.parametrize(
    ("body", "made"),
    [
        ({"size": 1}, {"size": 1, "_source": HIDDEN}),
        ({}, {"_source": HIDDEN}),
        ({"stored_fields": ["x"]}, {"stored_fields": ["x"]}),
        (
            {"collapse": {"inner_hits": [{"name": "n"}, {"_source": False}, 1]}},
            {
                "collapse": {
                    "inner_hits": [{"name": "n", "_source": HIDDEN}, {"_source": False}, 1]
                },
                "_source": HIDDEN,
            },
        ),
    ],
)
async def test_one_of_many_searches_has_no_url(body: Any, made: Any):
    exchange, _ = world(HERE).exchange("POST", "/a/_msearch?_source=false", body)
    assert (await showing(exchange, body, HERE, is_alone=False)).body == made


async def test_hits_of_a_group_are_filtered_each_by_itself():
    given = [{"name": "n"}, {"_source": False}, 1]
    made = await shown({"collapse": {"inner_hits": given}})
    filtered = [{"name": "n", "_source": HIDDEN}, {"_source": False}, 1]
    assert made.body["collapse"] == {"inner_hits": filtered}


async def test_among_many_searches_the_body_says_what_is_shown():
    made = await shown({}, "?_source=false", is_alone=False)
    assert made.body == {"_source": HIDDEN}


async def test_an_answer_is_cut():
    made = await cut(answered(200, {"_source": {"a": 1, "xinf": {"body": {}}}}))
    assert made.status == 200
    assert orjson.loads(made.body) == {"_source": {"a": 1}}
