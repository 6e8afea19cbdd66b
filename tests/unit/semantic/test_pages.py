"""Further pages of searches."""

from __future__ import annotations

from typing import Any, Final

import pytest

from proxy.semantic.asked import Asked
from proxy.semantic.asyncsearches import remembering
from proxy.semantic.highlights import Highlight, Shown, Sought
from proxy.semantic.scrolls import asked_by, with_asked
from proxy.semantic.shownhits import Where
from tests.unit.semantic.exchanges import world
from tests.unit.semantic.targets import STORED, semantic_field, target

FIELD: Final = semantic_field()
HERE: Final = target(FIELD)
HIT: Final = {"_index": "a", "_id": "1", "_source": {"xinf": {}, "body": "x"}}
SHOWN: Final = Shown(
    highlights=[
        Highlight(
            name="body", found={"a": FIELD}, number=1, by_score=False, sought=(Sought(vector=None),)
        )
    ]
)
ASKED: Final = Asked.of(SHOWN, Where(expression="a"))
ID: Final = with_asked("own", ASKED)


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", "/_search/scroll?scroll=1m", {"scroll_id": ID}),
        ("GET", f"/_search/scroll?scroll=1m&scroll_id={ID}", b""),
        ("GET", f"/_search/scroll/{ID}?scroll=1m", b""),
    ],
)
async def test_a_page_shows_what_the_first_one_was_asked_for(method: str, target: str, body: Any):
    page = {"_scroll_id": "next", "hits": {"hits": [HIT]}}
    here = world(HERE, page, {"hits": {"hits": [STORED]}})
    answer = await here.request(method, target, body)
    (hit,) = answer["hits"]["hits"]
    assert hit["highlight"] == {"body": ["near"]}
    assert hit["_source"] == {"body": "x"}
    asked = here.upstream.asked[0]
    assert (asked.method, asked.target) == ("POST", "/_search/scroll?scroll=1m")
    assert asked.json == {"scroll_id": "own"}
    assert asked_by(answer["_scroll_id"]) == asked_by(ID)
    assert answer["_scroll_id"].startswith("next")


async def test_other_scrolls_are_asked_for_as_they_come():
    here = world(HERE, {"_scroll_id": "next", "hits": {"hits": [HIT]}})
    answer = await here.request("POST", "/_search/scroll", {"scroll_id": "plain"})
    assert answer["_scroll_id"] == "next"
    assert answer["hits"]["hits"][0]["_source"] == {"body": "x"}
    assert here.upstream.asked[0].json == {"scroll_id": "plain"}


@pytest.mark.parametrize("scroll_id", ["plain", ID])
async def test_vectors_that_the_search_has_asked_for_are_on_every_page(scroll_id: str):
    here = world(HERE, {"hits": {"hits": [STORED]}})
    answer = await here.request("POST", "/_search/scroll", {"scroll_id": scroll_id})
    source = answer["hits"]["hits"][0]["_source"]
    assert source.keys() == {"body", "_inference_fields"}
    assert here.registry.looked_up[0] == "a"


async def test_an_asynchronous_search_shows_nothing_of_ours():
    here = world(HERE, {"response": {"hits": {"hits": [HIT]}}})
    answer = await here.request("GET", "/_async_search/x")
    assert answer["response"]["hits"]["hits"][0]["_source"] == {"body": "x"}


def found_later(asked: Asked, name: str = "xinf", **others: Any) -> Any:
    """The answer to an asynchronous search, some time after it was begun."""
    meta = remembering({}, asked)["aggs"]["xinf"]["meta"]
    aggregations = {name: {"meta": meta, "doc_count": 0}, **others}
    response = {"hits": {"hits": [HIT]}, "aggregations": aggregations}
    return {"id": "x", "is_running": False, "response": response}


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/_async_search/x", "xinf"),
        ("/_async_search/x?typed_keys=true", "filter#xinf"),
        ("/_async_search/x?filter_path=id,is_running,response.hits.hits", "xinf"),
    ],
)
async def test_what_an_asynchronous_search_found_shows_what_it_was_asked_for(
    target: str, name: str
):
    here = world(HERE, found_later(ASKED, name), {"hits": {"hits": [STORED]}})
    answer = await here.request("GET", target)
    assert (answer["id"], answer["is_running"]) == ("x", False)
    hit = {"_index": "a", "_id": "1", "_source": {"body": "x"}, "highlight": {"body": ["near"]}}
    assert answer["response"] == {"hits": {"hits": [hit]}}
    assert set(here.registry.looked_up) == {"a"}


async def test_aggregations_of_an_asynchronous_search_stay_the_callers():
    here = world(HERE, found_later(ASKED, own={"value": 1}), {"hits": {"hits": [STORED]}})
    answer = await here.request("GET", "/_async_search/x")
    assert answer["response"]["aggregations"] == {"own": {"value": 1}}


@pytest.mark.parametrize("method", ["scroll", "async"])
async def test_inference_fields_are_shown_later_as_well(method: str):
    asked = Asked.of(Shown(formats={"body": "x"}), Where(expression="a"))
    if method == "scroll":
        page = {"_scroll_id": "next", "hits": {"hits": [STORED]}}
        here = world(HERE, page)
        answer = await here.request(
            "POST", "/_search/scroll", {"scroll_id": with_asked("own", asked)}
        )
    else:
        later = found_later(asked)
        later["response"]["hits"]["hits"] = [STORED]
        here = world(HERE, later)
        answer = (await here.request("GET", "/_async_search/x"))["response"]
    source = answer["hits"]["hits"][0]["_source"]
    assert "xinf" not in source
    assert source["_inference_fields"]["body"]["inference"]["inference_id"] == "e"


@pytest.mark.parametrize(
    ("target", "body", "sent"),
    [
        ("/_search/scroll", {"scroll_id": [ID, "b"]}, ["own", "b"]),
        ("/_search/scroll", {"scroll_id": ID}, ["own"]),
        (f"/_search/scroll/{ID}", b"", ["own"]),
        (f"/_search/scroll?scroll_id={ID}", b"", ["own"]),
    ],
)
async def test_scrolls_are_cleared_by_their_own_ids(target: str, body: Any, sent: list[str]):
    here = world(HERE, {"succeeded": True})
    assert await here.request("DELETE", target, body) == {"succeeded": True}
    (asked,) = here.upstream.asked
    assert (asked.target, asked.json) == ("/_search/scroll", {"scroll_id": sent})


async def test_clearing_others_is_passed_on():
    here = world(HERE)
    await here.request("DELETE", "/_search/scroll", {"scroll_id": "plain"})
    assert len(here.upstream.handed) == 1
