"""Scores of texts by a rerank endpoint.

Source: TextSimilarityRankFeaturePhaseRankCoordinatorContext.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from proxy.ground.errors import IllegalArgument, ProxyError, StatusError
from proxy.inference.endpoints import InferenceEndpoint, TaskType
from proxy.limits.deadline import Deadline
from proxy.limits.threads import offload
from proxy.semantic.ports import Endpoints
from proxy.semantic.retrievers.errors import RetrieversFailed
from proxy.semantic.retrievers.snippets import best_snippets
from proxy.semantic.retrievers.tree import Leaf, Reranker

DEFAULT_ID: Final = ".rerank-v1-elasticsearch"
_AT_ONCE: Final = 16384  # characters that are cut into snippets on the event loop
_RANKED: Final = "rank_docs_retriever"  # what a compound retriever has become by then


class CountsDiffer(ProxyError):
    """A provider's answer has more or fewer scores than documents were sent."""

    status = 500
    type = "illegal_state_exception"
    is_root_cause = False


async def scores_of(
    tree: Reranker, texts: Sequence[str], endpoints: Endpoints, deadline: Deadline
) -> list[float] | None:
    """A score for each text; None where the provider gives none at all.

    Raises: StatusError 404 for an endpoint that does not exist, 400 for one of another task;
    IllegalArgument for one that returns too few; providers' ProxyErrors.
    """
    endpoint = await _endpoint(tree, endpoints)
    if not texts:
        return []
    parts: Sequence[Sequence[str]] = [[text] for text in texts]
    if (snippets := tree.snippets) is not None:
        parts = await offload(
            sum(map(len, texts)),
            _AT_ONCE,
            lambda: [best_snippets(text, tree.text, snippets) for text in texts],
        )
    sent = [part for of_text in parts for part in of_text]
    found = await endpoints.rerank(endpoint, tree.text, sent, deadline)
    if not found:
        return None
    owners = [n for n, of_text in enumerate(parts) for _ in of_text]
    best: dict[int, float] = {}
    for index, score in found:
        if 0 <= index < len(owners):
            owner = owners[index]
            best[owner] = max(score, best.get(owner, score))
    if tree.snippets is None and (len(found) != len(texts) or len(best) != len(texts)):
        raise CountsDiffer(
            "Reranker input document count and returned score count mismatch: "
            f"[{len(texts)}] vs [{len(found)}]"
        )
    return [best.get(n, 0.0) for n in range(len(texts))]


async def _endpoint(tree: Reranker, endpoints: Endpoints) -> InferenceEndpoint:
    inference_id = tree.inference_id or DEFAULT_ID
    endpoint = await endpoints.find(inference_id)
    if endpoint is None:
        missing = StatusError(404, f"Inference endpoint not found [{inference_id}]")
        missing.type = "resource_not_found_exception"
        raise missing
    if endpoint.task_type is not TaskType.RERANK:
        raise StatusError(
            400,
            f"Requested task type [{TaskType.RERANK}] does not match the inference endpoint's "
            f"task type [{endpoint.task_type}]",
        )
    most, window = endpoint.task_settings.top_n, tree.common.window
    if most is not None and most < window:
        raise IllegalArgument(
            f"Inference endpoint [{inference_id}] is configured to return the top [{most}] "
            f"results, but rank_window_size is [{window}]. Reduce rank_window_size to be less "
            "than or equal to the configured top N value."
        )
    return endpoint


def failed(tree: Reranker, error: ProxyError) -> RetrieversFailed:
    """How a search fails whose reranker did."""
    failure = {
        "type": "search_phase_execution_exception",
        "reason": "Computing updated ranks for results failed",
        "phase": "rank-feature",
        "grouped": True,
        "failed_shards": [],
        "caused_by": error.render(),
    }
    child = tree.child.name if isinstance(tree.child, Leaf) else _RANKED
    made = RetrieversFailed(error.status, tree.name, [child], [failure])
    made.headers = error.headers
    return made
