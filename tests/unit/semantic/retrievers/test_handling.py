"""A search in which what its retrievers found takes their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pytest

from proxy.ground.errors import IllegalArgument
from proxy.semantic.retrievers.fusion import LEAST_SCORE
from proxy.semantic.retrievers.handling import Resolved, all_queries, resolved, spelled_out
from proxy.semantic.retrievers.searches import Searches
from proxy.semantic.retrievers.tree import (
    Branch,
    Common,
    Leaf,
    Reranker,
    Rescorer,
    Retriever,
    Rrf,
    Simplified,
)
from proxy.upstream.passingback import UpstreamAnswer

HIT: dict[str, Any] = {"_index": "i", "_id": "a", "_score": 2.0}
WORDS = Leaf(name="standard", values={"query": {"term": {"a": 1}}})
COMMON = Common(window=3)


async def ask(method: str, target: str, body: bytes) -> UpstreamAnswer:
    """An upstream without points in time, whose searches find one document."""
    if "_pit" in target:
        return UpstreamAnswer(status=400, headers={}, body=b"{}")
    count = len(body.splitlines()) // 2
    responses = [{"hits": {"hits": [HIT]}, "status": 200}] * count
    return UpstreamAnswer(status=200, headers={}, body=orjson.dumps({"responses": responses}))


async def made(body: Mapping[str, Any], tree: Retriever | None = None) -> Resolved:
    async def rewrite(bodies: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        return bodies

    unused: Any = None
    return await resolved(
        tree or Rrf(common=COMMON, branches=[Branch(retriever=WORDS)]),
        body,
        searches=Searches(ask, "i", {}),
        rewrite=rewrite,
        endpoints=unused,
        deadline=unused,
    )


@pytest.mark.parametrize(
    ("body", "start", "size"),
    [
        ({}, 0, 1),
        ({"from": 1}, 1, 0),
        ({"from": "0", "size": "5"}, 0, 1),
        ({"size": 0}, 0, 0),
        ({"from": 5}, 5, 0),
    ],
)
async def test_pages_are_those_of_what_was_found(body: Any, start: int, size: int):
    found = (await made({**body, "retriever": {}})).body
    assert (found["from"], found["size"]) == (start, size)
    assert "retriever" not in found


@pytest.mark.parametrize("name", ["from", "size"])
@pytest.mark.parametrize("odd", [None, "x", [], {}, float("inf")])
async def test_numbers_that_are_none_are_refused(name: str, odd: Any):
    with pytest.raises(IllegalArgument, match=rf"\[{name}\] must be a number"):
        await made({name: odd})


@pytest.mark.parametrize(
    ("limit", "counts"),
    [(True, True), (False, False), (1, False), (2, True), ("true", True), ("false", False)],
)
async def test_all_that_matches_is_counted_if_that_matters(limit: Any, counts: bool):
    found = (await made({"track_total_hits": limit})).body
    assert (len(found["query"]["bool"]["should"]) == 2) is counts


async def test_a_least_score_below_leaves_out_what_only_matches():
    leaf = Leaf(name="standard", values={"min_score": 1.0})
    tree = Rrf(common=COMMON, branches=[Branch(retriever=leaf)])
    assert (await made({}, tree)).body["min_score"] == LEAST_SCORE
    own = Rrf(common=Common(window=3, min_score=0.01), branches=[Branch(retriever=WORDS)])
    assert (await made({}, own)).body["min_score"] == 0.01


async def test_a_label_names_the_query():
    tree = Rrf(common=Common(window=3, label="mine"), branches=[Branch(retriever=WORDS)])
    assert (await made({}, tree)).body["query"]["bool"]["_name"] == "mine"


async def test_what_finds_nothing_matches_nothing():
    tree = Rrf(common=COMMON, branches=[])
    found = (await made({"track_total_hits": False}, tree)).body
    assert found["query"] == {"match_none": {}}


async def test_only_what_is_below_a_leaf_is_evaluated():
    inner = Rrf(common=COMMON, branches=[Branch(retriever=WORDS)])
    tree = Leaf(name="pinned", values={"ids": []}, inner=inner)
    pinned = (await made({}, tree)).body["retriever"]["pinned"]
    assert pinned["ids"] == []
    assert "constant_score" in str(pinned["retriever"]["standard"]["query"])


def test_explanations_are_put_into_hits():
    found = {"value": 1.0, "description": "d", "details": []}
    theirs = {"value": 1.0, "description": "sum of:", "details": []}
    hits = [{**HIT, "_explanation": theirs}, {**HIT, "_id": "b", "_explanation": theirs}, {**HIT}]
    patched = Resolved({}, {("i", "a"): found}).patch({"hits": {"hits": hits}})
    shown = [one.get("_explanation") for one in patched["hits"]["hits"]]
    assert shown == [found, theirs, None]


def test_fields_and_text_are_spelled_out_wherever_they_stand():
    simple = Rrf(common=COMMON, simplified=Simplified(query="x"))
    tree = Leaf(
        name="pinned",
        values={},
        inner=Reranker(
            common=COMMON,
            child=Rrf(common=COMMON, branches=[Branch(retriever=simple)]),
            field="f",
            text="x",
        ),
    )
    made = spelled_out(tree, lambda _: WORDS)
    assert isinstance(made, Leaf)
    assert isinstance(made.inner, Reranker)
    assert isinstance(made.inner.child, Rrf)
    assert made.inner.child.branches[0].retriever == WORDS


def test_every_query_of_a_tree_is_collected():
    knn = Leaf(name="knn", values={"field": "v", "filter": {"term": {"b": 1}}})
    common = Common(window=3, filters=[{"term": {"c": 1}}])
    rescore = {"query": {"rescore_query": {"term": {"d": 1}}}}
    rescorer = Rescorer(common=COMMON, child=knn, rescore=[rescore])
    tree = Rrf(common=common, branches=[Branch(retriever=WORDS), Branch(retriever=rescorer)])
    found = all_queries(tree, {"retriever": {}, "aggs": {}})
    assert found.keys() == {"aggs", "query", "knn", "rescore"}
    assert found["rescore"] == [rescore]
    terms = [one["term"] for one in found["query"]["bool"]["should"]]
    assert terms == [{"c": 1}, {"a": 1}, {"b": 1}]
    assert found["knn"] == [knn.values]
