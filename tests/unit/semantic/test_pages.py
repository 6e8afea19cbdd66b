"""Further pages of searches."""

from __future__ import annotations

from typing import Any, Final

import pytest

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
ID: Final = with_asked("own", SHOWN, Where(expression="a"))


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
