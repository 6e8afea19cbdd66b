"""Trees of retrievers, evaluated innermost first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest

from proxy.ground.errors import StatusError
from proxy.inference.endpoints import InferenceEndpoint, SecretSettings, ServiceSettings, TaskType
from proxy.limits.deadline import Deadline
from proxy.semantic.retrievers.errors import LeafRefused, RetrieversFailed
from proxy.semantic.retrievers.evaluation import Evaluation
from proxy.semantic.retrievers.searches import Searches
from proxy.semantic.retrievers.tree import Branch, Common, Leaf, Linear, Reranker, Rescorer, Rrf
from proxy.upstream.passingback import UpstreamAnswer

TITLES = {"a": "moon and tides", "b": "moon", "c": None}


def leaf(*ids: str, **values: Any) -> Leaf:
    """A leaf that finds these documents, in this order."""
    return Leaf(name="standard", values={"query": {"ids": {"values": ids}}, **values})


def wanted(query: Any) -> list[str]:
    if isinstance(query, Mapping):
        if "ids" in query:
            return list(query["ids"]["values"])
        return [one for value in query.values() for one in wanted(value)]
    return [one for value in query for one in wanted(value)] if isinstance(query, list) else []


def found(search: Mapping[str, Any]) -> dict[str, Any]:
    """What the upstream answers to a search: documents of falling scores, with their titles."""
    hits = []
    for n, name in enumerate(
        wanted(search.get("query", search.get("retriever")))[: search["size"]]
    ):
        hit: dict[str, Any] = {"_index": "i", "_id": name, "_score": 3.0 - n}
        if "fields" in search:
            hit["fields"] = {"title": [TITLES[name]]}
        hits.append(hit)
    return {"hits": {"hits": hits}, "status": 200}


class World:
    def __init__(self, answer: Callable[[Mapping[str, Any]], Any] = found) -> None:
        self.answer = answer
        self.requests: list[list[Any]] = []
        self.failure: StatusError | None = None
        self.evaluation = Evaluation(
            searches=Searches(self.ask, "i", {}),
            rewrite=self.rewrite,
            endpoints=self,  # type: ignore[arg-type] # it reranks only
            deadline=Deadline.after(10),
            body={},
        )

    async def ask(self, method: str, target: str, body: bytes) -> UpstreamAnswer:
        searches = [orjson.loads(line) for line in body.splitlines()[1::2]]
        self.requests.append(searches)
        answer = {"responses": [self.answer(one) for one in searches]}
        return UpstreamAnswer(status=200, headers={}, body=orjson.dumps(answer))

    async def rewrite(self, bodies: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        return bodies

    async def find(self, inference_id: str) -> InferenceEndpoint:
        return InferenceEndpoint(
            inference_id=inference_id,
            task_type=TaskType.RERANK,
            service_settings=ServiceSettings(url="http://provider"),
            secret_settings=SecretSettings(api_key="hf_secret"),
        )

    async def rerank(
        self, endpoint: Any, query: str, documents: Sequence[str], deadline: Deadline
    ) -> list[tuple[int, float]]:
        if self.failure is not None:
            raise self.failure
        return [(n, float(len(text))) for n, text in enumerate(documents)]

    async def ranked(self, tree: Any) -> list[str]:
        return [one.key[1] for one in (await self.evaluation.ranking(tree)).documents]


def rrf(*retrievers: Any, window: int = 10, **common: Any) -> Rrf:
    branches = [Branch(retriever=one) for one in retrievers]
    return Rrf(common=Common(window=window, **common), branches=branches)


def reranker(child: Any, **more: Any) -> Reranker:
    common = Common(window=10, min_score=more.pop("min_score", None))
    return Reranker(common=common, child=child, field="title", text="x", inference_id="hf", **more)


async def test_leaves_are_searched_together_and_fused():
    world = World()
    assert await world.ranked(rrf(leaf("a", "b"), leaf("b", "c"))) == ["b", "a", "c"]
    assert [len(one) for one in world.requests] == [2]


async def test_a_window_cuts_what_is_found_inside():
    inner = rrf(leaf("a", "b", "c"))
    assert await World().ranked(rrf(inner, window=2)) == ["a", "b"]


async def test_weights_of_linear_and_a_least_score():
    tree = Linear(
        common=Common(window=10, min_score=4.0),
        branches=[
            Branch(retriever=leaf("a", "b"), weight=1.0),
            Branch(retriever=leaf("b", "c"), weight=2.0),
        ],
    )
    assert await World().ranked(tree) == ["b", "c"]


async def test_filters_around_hold_within():
    term = {"term": {"kind": "log"}}
    world = World()
    await world.ranked(rrf(rrf(leaf("a"), filters=[{"term": {"x": 1}}]), filters=[term]))
    (search,) = world.requests[0]
    assert search["query"]["bool"]["filter"] == [term, {"term": {"x": 1}}]


async def test_what_a_leaf_stands_around_is_evaluated_first():
    inner = rrf(leaf("a", "b"))
    world = World()
    await world.ranked(rrf(Leaf(name="pinned", values={}, inner=inner), leaf("a")))
    assert len(world.requests) == 2
    pinned = world.requests[1][0]["retriever"]["pinned"]
    assert wanted(pinned["retriever"]) == ["a", "b"]


@pytest.mark.parametrize("child", [leaf("a", "b", "c"), rrf(leaf("a", "b", "c"))])
async def test_all_that_is_below_a_rescorer_is_rescored(child: Any):
    world = World()
    filtered = {"term": {"kind": "log"}}
    rescore = [{"window_size": 2, "query": {}}]
    tree = Rescorer(common=Common(window=2, filters=[filtered]), child=child, rescore=rescore)
    await world.ranked(tree)
    (search,) = world.requests[-1]
    assert (search["rescore"], search["size"]) == (rescore, 2)
    assert wanted(search) == ["a", "b", "c"]
    assert filtered in world.requests[0][0]["query"]["bool"]["filter"]
    assert len(world.requests) == (1 if isinstance(child, Leaf) else 2)


@pytest.mark.parametrize("child", [leaf("b", "a", "c"), rrf(leaf("b", "a", "c"))])
async def test_documents_are_reranked_by_their_texts(child: Any):
    assert await World().ranked(reranker(child)) == ["a", "b"]


async def test_a_reranker_that_fails_may_leave_the_order_as_it_is():
    world = World()
    world.failure = StatusError(503, "down")
    with pytest.raises(RetrieversFailed) as caught:
        await world.ranked(reranker(leaf("b", "a")))
    assert caught.value.status == 503
    assert await world.ranked(reranker(leaf("b", "a"), allow_failures=True)) == ["b", "a"]


@pytest.mark.parametrize(
    ("kind", "error"),
    [("search_phase_execution_exception", RetrieversFailed), ("parsing_exception", LeafRefused)],
)
@pytest.mark.parametrize("tree", [rrf(leaf("a"), leaf("b")), rrf(rrf(leaf("a")), leaf("b"))])
async def test_a_failure_is_that_of_the_whole_search(kind: str, error: Any, tree: Any):
    failed = {"error": {"type": kind, "reason": "no"}, "status": 400}
    with pytest.raises(error) as caught:
        await World(lambda _: failed).ranked(tree)
    assert caught.value.status == 400


async def test_scores_are_explained_if_that_is_asked_for():
    world = World()
    world.evaluation = replace(world.evaluation, explain=True)
    ranking = await world.evaluation.ranking(rrf(leaf("a"), leaf("a")))
    assert "initial ranks [1, 1]" in ranking.explanations["i", "a"]["description"]
