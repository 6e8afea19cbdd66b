from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from proxy.ground.errors import UpstreamBroken
from proxy.semantic.retrievers.errors import LeafRefused
from proxy.semantic.retrievers.handling import resolved
from proxy.semantic.retrievers.searches import Searches
from proxy.semantic.retrievers.tree import Branch, Common, Leaf, Rrf
from proxy.upstream.passingback import UpstreamAnswer

HITS = {"hits": {"hits": [{"_index": "i", "_id": "a", "_score": 2.0, "sort": [2.0, 7]}]}}
WORDS = Leaf(name="standard", values={"query": {"term": {"a": 1}}})


@dataclass
class Upstream:
    """Answers every search alike; `pit` is the status of its points in time."""

    pit: int = 200
    search: Any = field(default_factory=lambda: {**HITS, "status": 200})
    status: int = 200
    error: Any = field(default_factory=lambda: {"error": {"type": "x", "reason": "no"}})
    asked: list[tuple[str, str, Any]] = field(default_factory=list)

    async def ask(self, method: str, target: str, body: bytes) -> UpstreamAnswer:
        lines = [orjson.loads(line) for line in body.splitlines()]
        self.asked.append((method, target, lines))
        if "_pit" in target:
            return answer(self.pit, {"id": "p"})
        if self.status != 200:
            return answer(self.status, self.error)
        return answer(200, {"responses": [self.search] * (len(lines) // 2)})


def answer(status: int, document: Any) -> UpstreamAnswer:
    return UpstreamAnswer(status=status, headers={}, body=orjson.dumps(document))


async def found(upstream: Upstream, **body: Any) -> Any:
    async def rewrite(searches):
        return searches

    unused: Any = None
    tree = Rrf(common=Common(window=3), branches=[Branch(retriever=WORDS)])
    searches = Searches(upstream.ask, "i", {"routing": "r", "preference": "p", "q": "z"})
    return await resolved(
        tree, body, searches=searches, rewrite=rewrite, endpoints=unused, deadline=unused
    )


async def test_leaves_are_searched_at_one_time():
    upstream = Upstream()
    await found(upstream, timeout="3s", aggs={})
    opened, searched, closed = upstream.asked
    assert opened[:2] == ("POST", "/i/_pit?keep_alive=1m&preference=p&routing=r")
    assert searched[2] == [
        {"allow_partial_search_results": False},
        {
            "timeout": "3s",
            "query": {"term": {"a": 1}},
            "size": 3,
            "track_total_hits": False,
            "_source": False,
            "sort": ["_score", "_shard_doc"],
            "pit": {"id": "p", "keep_alive": "1m"},
        },
    ]
    assert closed == ("DELETE", "/_pit", [{"id": "p"}])


async def test_an_upstream_without_points_in_time():
    upstream = Upstream(pit=400)
    made = await found(upstream)
    header, search = upstream.asked[1][2]
    assert header == {
        "allow_partial_search_results": False,
        "preference": "p",
        "routing": "r",
        "index": "i",
    }
    assert "sort" not in search
    assert made.body["size"] == 1
    assert len(upstream.asked) == 2


async def test_a_point_in_time_is_closed_after_a_failure():
    upstream = Upstream(status=403)
    with pytest.raises(LeafRefused) as error:
        await found(upstream)
    assert error.value.envelope() == {"error": {"type": "x", "reason": "no"}, "status": 403}
    assert upstream.asked[-1][:2] == ("DELETE", "/_pit")


@pytest.mark.parametrize("said", [{"message": "slow down"}, {"error": "slow down"}, {}])
async def test_a_refusal_that_is_none_of_elasticsearchs_is_a_bad_gateways(said: Any):
    with pytest.raises(UpstreamBroken, match=r"answered 429 without \[error]"):
        await found(Upstream(status=429, error=said))


async def test_so_is_an_answer_that_is_no_searchs():
    with pytest.raises(UpstreamBroken, match="unclear"):
        await found(Upstream(search=None))


async def test_the_query_that_is_left():
    made = await found(Upstream(), **{"from": 0, "size": 10, "track_total_hits": True})
    (scored, rest) = made.body["query"]["bool"]["should"]
    assert rest == {"constant_score": {"filter": {"term": {"a": 1}}, "boost": 0}}
    clause = {"filter": {"ids": {"values": ["a"]}}, "boost": 0.016393441706895828}
    assert scored["bool"]["should"] == [{"constant_score": clause}]
    without = await found(Upstream(), track_total_hits=False)
    assert len(without.body["query"]["bool"]["should"]) == 1
