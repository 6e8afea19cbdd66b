"""Where the chunks of hits are read."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest

from proxy.semantic.highlights import Highlight, Shown, Sought, Within
from proxy.semantic.shownhits import Where, show_chunks
from tests.unit.semantic.exchanges import world
from tests.unit.semantic.targets import STORED, semantic_field, target

FIELD: Final = semantic_field()


@pytest.mark.parametrize(
    ("expression", "parameters", "body", "path"),
    [
        (None, {}, {}, "/_search"),
        ("a,b*", {"size": "3"}, {}, "/a,b*/_search"),
        (
            "<a-{now/d}>",
            {"ignore_unavailable": "true"},
            {},
            "/<a-%7Bnow%2Fd%7D>/_search?ignore_unavailable=true",
        ),
        ("a", {"ignore_unavailable": "true"}, {"pit": {"id": "p"}}, "/_search"),
    ],
)
def test_where_a_search_went(expression: Any, parameters: Any, body: Any, path: str):
    assert Where.of(expression, parameters, body).target() == path


def test_a_point_in_time_goes_along():
    where = Where.of("a", {}, {"pit": {"id": "p"}})
    assert orjson.loads(where.body({"size": 1})) == {"size": 1, "pit": {"id": "p"}}
    assert orjson.loads(Where(expression="a").body({"size": 1})) == {"size": 1}


def highlights() -> Shown:
    one = Highlight(
        name="body", found={"a": FIELD}, number=1, by_score=False, sought=(Sought(vector=None),)
    )
    return Shown(highlights=[one])


async def test_hits_and_those_within_are_read_in_the_callers_name():
    here = world(target(FIELD), {"hits": {"hits": [STORED]}})
    exchange, _ = here.exchange("POST", "/a/_search")
    hit: dict[str, Any] = {"_index": "a", "_id": "1"}
    inner: dict[str, Any] = {"_index": "a", "_id": "1"}
    hit["inner_hits"] = {"n": {"hits": {"hits": [inner]}}}
    shown = highlights()
    shown.within = [Within(name="n", in_buckets=False, shown=highlights())]
    document = {"hits": {"hits": [hit]}}
    await show_chunks(exchange, document, shown, Where(expression="a"))
    assert hit["highlight"] == inner["highlight"] == {"body": ["near"]}
    assert [one.target for one in here.upstream.asked] == ["/a/_search", "/a/_search"]


async def test_nothing_is_asked_for_nothing():
    here = world(target(FIELD))
    exchange, _ = here.exchange("POST", "/a/_search")
    await show_chunks(exchange, {"hits": {"hits": []}}, highlights(), Where(expression="a"))
    await show_chunks(exchange, {"hits": {"hits": [{}]}}, Shown(), Where(expression="a"))
    assert here.upstream.asked == []
