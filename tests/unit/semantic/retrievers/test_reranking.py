"""Scores of texts by a rerank endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from proxy.ground.errors import IllegalArgument, ProxyError, StatusError
from proxy.inference.chunking import ChunkingSettings
from proxy.inference.endpoints import (
    InferenceEndpoint,
    SecretSettings,
    ServiceSettings,
    TaskSettings,
    TaskType,
)
from proxy.limits.deadline import Deadline
from proxy.semantic.retrievers.reranking import CountsDiffer, failed, scores_of
from proxy.semantic.retrievers.tree import Common, Leaf, Reranker, Snippets

DEADLINE = Deadline.after(10)


def reranker(**more: Any) -> Reranker:
    made: dict[str, Any] = {"inference_id": "hf", "field": "f", "text": "moon", **more}
    return Reranker(common=Common(window=5), child=Leaf(name="standard", values={}), **made)


class Endpoints:
    """The endpoint `hf`, whose scores are the lengths of texts, unless others are given."""

    def __init__(
        self,
        scores: list[tuple[int, float]] | None = None,
        task: TaskType = TaskType.RERANK,
        top_n: int | None = None,
    ) -> None:
        self.scores, self.task, self.top_n = scores, task, top_n
        self.sent: list[str] = []

    async def find(self, inference_id: str) -> InferenceEndpoint | None:
        if inference_id != "hf":
            return None
        return InferenceEndpoint(
            inference_id=inference_id,
            task_type=self.task,
            service_settings=ServiceSettings(url="http://provider"),
            task_settings=TaskSettings(top_n=self.top_n),
            secret_settings=SecretSettings(api_key="hf_secret"),
        )

    async def rerank(
        self, endpoint: InferenceEndpoint, query: str, documents: Sequence[str], deadline: Deadline
    ) -> list[tuple[int, float]]:
        assert query == "moon"
        self.sent = list(documents)
        if self.scores is not None:
            return self.scores
        return [(n, float(len(text))) for n, text in enumerate(documents)][::-1]


async def scores(endpoints: Any, *texts: str, tree: Reranker | None = None) -> Any:
    return await scores_of(tree or reranker(), texts, endpoints, DEADLINE)


async def test_scores_stand_in_the_order_of_the_texts():
    assert await scores(Endpoints(), "a", "bbb", "cc") == [1.0, 3.0, 2.0]


async def test_no_texts_are_not_sent():
    endpoints = Endpoints()
    assert await scores(endpoints) == []
    assert endpoints.sent == []


async def test_a_provider_may_give_no_scores_at_all():
    assert await scores(Endpoints([]), "a") is None


@pytest.mark.parametrize("given", [[(0, 1.0)], [(0, 1.0), (0, 2.0)], [(0, 1.0), (7, 1.0)]])
async def test_scores_that_are_not_those_of_the_texts(given: list[tuple[int, float]]):
    with pytest.raises(CountsDiffer):
        await scores(Endpoints(given), "a", "b")


async def test_of_snippets_the_best_one_counts():
    cut = ChunkingSettings(strategy="word", max_chunk_size=2, sentence_overlap=None, overlap=0)
    tree = reranker(snippets=Snippets(size=2, chunking=cut))
    endpoints = Endpoints([(0, 1.0), (1, 5.0), (2, 3.0)])
    assert await scores(endpoints, "moon a moon b", "other", tree=tree) == [5.0, 3.0]
    assert endpoints.sent == ["moon a", " moon b", "other"]


@pytest.mark.parametrize(
    ("endpoints", "tree", "error", "status"),
    [
        (Endpoints(), reranker(inference_id="gone"), StatusError, 404),
        (Endpoints(), reranker(inference_id=None), StatusError, 404),
        (Endpoints(task=TaskType.COMPLETION), reranker(), StatusError, 400),
        (Endpoints(top_n=4), reranker(), IllegalArgument, 400),
    ],
)
async def test_endpoints_that_cannot_rerank(
    endpoints: Endpoints, tree: Reranker, error: type[ProxyError], status: int
):
    with pytest.raises(error) as caught:
        await scores(endpoints, "a", tree=tree)
    assert caught.value.status == status


def test_a_search_fails_as_its_reranker_did():
    cause = StatusError(429, "too many")
    cause.headers = [("Retry-After", "5")]
    error = failed(reranker(), cause)
    assert error.status == 429
    assert error.headers == [("Retry-After", "5")]
    (attached,) = error.envelope()["error"]["suppressed"]
    assert attached["caused_by"]["reason"] == "too many"
