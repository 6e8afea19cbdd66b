"""Evaluates a tree of retrievers, innermost first; sibling leaves are one `_msearch`.

Source: CompoundRetrieverBuilder.rewrite.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from proxy.ground.errors import ProxyError
from proxy.limits.deadline import Deadline
from proxy.semantic.ports import Endpoints
from proxy.semantic.retrievers.errors import LeafRefused, RetrieversFailed
from proxy.semantic.retrievers.explaining import (
    explain_linear,
    explain_nearest,
    explain_ranks,
    explain_reranker,
    explain_rrf,
)
from proxy.semantic.retrievers.fusion import Fused, Key, Scored, linear, reranked, rrf
from proxy.semantic.retrievers.leaves import (
    KNN,
    STANDARD,
    Asked,
    Ranking,
    among,
    any_of,
    filters_of,
    named,
    ranked,
    read_ranking,
    search_of,
    text_of,
    without_standard,
)
from proxy.semantic.retrievers.reranking import DEFAULT_ID, failed, scores_of
from proxy.semantic.retrievers.searches import Searches
from proxy.semantic.retrievers.tree import (
    Compound,
    Fusing,
    Leaf,
    Linear,
    Reranker,
    Rescorer,
    Retriever,
)

Body = Mapping[str, Any]
Rewrite = Callable[[Sequence[Body]], Awaitable[Sequence[Body]]]

_NO_SHARDS: Final = "search_phase_execution_exception"  # all other failures are of the whole search


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The evaluation of one search's retrievers; `body` is the search's, `rewrite` makes the
    queries of searches such that any Elasticsearch takes them."""

    searches: Searches
    rewrite: Rewrite
    endpoints: Endpoints
    deadline: Deadline
    body: Body
    explain: bool = False

    async def ranking(self, tree: Compound, filters: Sequence[Any] = ()) -> Ranking:
        """What a compound retriever finds.

        `filters` are those of the retrievers around it. Raises: ProxyError.
        """
        filters = [*filters, *tree.common.filters]
        if isinstance(tree, Reranker):
            found = await self._reranked(tree, filters)
        elif isinstance(tree, Rescorer):
            found = await self._rescored(tree, filters)
        else:
            found = await self._fused(tree, filters)
        least = tree.common.min_score
        if least is None or isinstance(tree, Reranker):
            return found
        return replace(found, documents=[one for one in found.documents if one.score >= least])

    async def without_inner(self, leaf: Leaf, asked: Asked) -> Leaf:
        """A leaf whose inner retriever, if it has one, is what that finds."""
        if leaf.inner is None:
            return leaf
        if isinstance(leaf.inner, Leaf):
            inner = await self.without_inner(leaf.inner, asked)
            made = {inner.name: inner.values}
        else:
            found = await self.ranking(leaf.inner, filters_of(leaf, asked))
            made = {"standard": {"query": ranked(found.documents)}}
        return Leaf(name=leaf.name, values={**leaf.values, "retriever": made})

    # --- rrf and linear

    async def _fused(self, tree: Fusing, filters: Sequence[Any]) -> Ranking:
        asked = Asked(size=tree.common.window, filters=filters, explain=self.explain)
        retrievers = [branch.retriever for branch in tree.branches]
        rankings = await self._rankings(tree.name, retrievers, asked)
        fused, explanations = self._fuse(tree, rankings)
        matches = any_of([ranking.matches for ranking in rankings])
        return Ranking(fused.documents, named(matches, tree.common.label), explanations)

    def _fuse(self, tree: Fusing, rankings: Sequence[Ranking]) -> tuple[Fused, Mapping[Key, Any]]:
        found = [ranking.documents for ranking in rankings]
        weights = [branch.weight for branch in tree.branches]
        if not isinstance(tree, Linear):
            fused = rrf(found, weights, tree.rank_constant, tree.common.window)
            return fused, explain_rrf(tree, weights, fused, rankings) if self.explain else {}
        names = [branch.normalizer or tree.normalizer or "none" for branch in tree.branches]
        fused = linear(found, weights, names, tree.common.window)
        if not self.explain:
            return fused, {}
        return fused, explain_linear(tree, weights, names, fused, rankings)

    async def _rankings(
        self, name: str, retrievers: Sequence[Retriever], asked: Asked
    ) -> list[Ranking]:
        """What each of these finds, all of them looked for at the same time."""
        places = [n for n, one in enumerate(retrievers) if isinstance(one, Leaf)]
        leaves = [one for one in retrievers if isinstance(one, Leaf)]
        found: dict[int, Ranking] = {}

        async def compound(number: int, tree: Compound) -> None:
            ranking = await self.ranking(tree, asked.filters)
            cut = list(ranking.documents)[: asked.size]
            found[number] = replace(ranking, documents=cut)

        async def of_leaves() -> None:
            rankings = await self._searched(name, leaves, asked)
            found.update(zip(places, rankings, strict=True))

        try:
            async with asyncio.TaskGroup() as tasks:
                for number, one in enumerate(retrievers):
                    if not isinstance(one, Leaf):
                        tasks.create_task(compound(number, one))
                if leaves:
                    tasks.create_task(of_leaves())
        except* ProxyError as group:
            raise first(group) from None
        return [found[number] for number in range(len(retrievers))]

    async def _searched(self, name: str, leaves: Sequence[Leaf], asked: Asked) -> list[Ranking]:
        """What the upstream finds for leaves. Raises: RetrieversFailed, LeafRefused."""
        leaves = [await self.without_inner(leaf, asked) for leaf in leaves]
        bodies = await self.rewrite([search_of(leaf, asked, self.body) for leaf in leaves])
        answers = await self.searches.run([without_standard(body) for body in bodies])
        _check(name, leaves, answers)
        has_places = self.searches.has_places
        found = []
        for leaf, answer in zip(leaves, answers, strict=True):
            ranking = read_ranking(leaf, asked, answer, has_places=has_places)
            if self.explain and leaf.name == KNN:
                ranking = replace(ranking, explanations=explain_nearest(ranking.documents))
            found.append(ranking)
        return found

    # --- rescorer

    async def _rescored(self, tree: Rescorer, filters: Sequence[Any]) -> Ranking:
        asked = Asked(
            size=tree.common.window, filters=filters, explain=self.explain, rescore=tree.rescore
        )
        if isinstance(tree.child, Leaf):
            (found,) = await self._searched(tree.name, [tree.child], asked)
            return replace(found, matches=named(found.matches, tree.common.label))
        below = await self.ranking(tree.child, filters)
        leaf = Leaf(name=STANDARD, values={"query": ranked(below.documents)})
        (found,) = await self._searched(tree.name, [leaf], replace(asked, filters=()))
        places = {one.key: one.place for one in below.documents}
        documents = [replace(one, place=places[one.key]) for one in found.documents]
        explanations = explain_ranks(documents, below.explanations) if self.explain else {}
        return Ranking(documents, named(below.matches, tree.common.label), explanations)

    # --- text_similarity_reranker

    async def _reranked(self, tree: Reranker, filters: Sequence[Any]) -> Ranking:
        asked = Asked(
            size=tree.common.window, filters=filters, explain=self.explain, text_of=tree.field
        )
        child = (await self._rankings(tree.name, [tree.child], asked))[0]
        texts = child.texts
        if not isinstance(tree.child, Leaf):
            texts = await self._texts(tree, child.documents)
        having = [one for one in child.documents if one.key in texts]
        documents = await self._scored(tree, having, [texts[one.key] for one in having])
        explanations = {}
        if self.explain:
            inference_id = tree.inference_id or DEFAULT_ID
            explanations = explain_reranker(tree, inference_id, documents, child)
        return Ranking(documents, named(child.matches, tree.common.label), explanations)

    async def _scored(
        self, tree: Reranker, documents: Sequence[Scored], texts: Sequence[str]
    ) -> list[Scored]:
        least = tree.common.min_score
        try:
            scores = await scores_of(tree, texts, self.endpoints, self.deadline)
        except ProxyError as error:
            if not tree.allow_failures:
                raise failed(tree, error) from None
            unranked = [
                replace(one, score=1.0 / rank) if math.isnan(one.score) else one
                for rank, one in enumerate(documents, 1)
            ]
            return [one for one in unranked if least is None or one.score >= least]
        if scores is None:
            scores = [one.score for one in documents]
        return reranked(documents, scores, least)

    async def _texts(self, tree: Reranker, documents: Sequence[Scored]) -> dict[Key, str]:
        """The first value of the reranker's field in each of these, where there is one."""
        keys = [one.key for one in documents]
        if not keys:
            return {}
        body = {
            "query": among(keys),
            "size": len(keys),
            "track_total_hits": False,
            "_source": False,
            "fields": [tree.field],
        }
        answers = await self.searches.run([body])
        _check(tree.name, [tree.child], answers)
        found = {}
        for hit in answers[0]["hits"]["hits"]:
            if (text := text_of(hit, tree.field)) is not None:
                found[hit["_index"], hit["_id"]] = text
        return found


def _check(name: str, leaves: Sequence[Retriever], answers: Sequence[Body]) -> None:
    """Raises: RetrieversFailed, LeafRefused where any search failed."""
    failures = [
        (leaf, answer) for leaf, answer in zip(leaves, answers, strict=True) if "error" in answer
    ]
    if not failures:
        return
    for _, answer in failures:
        if answer["error"]["type"] != _NO_SHARDS:
            raise LeafRefused(answer["status"], answer["error"])
    raise RetrieversFailed(
        max(answer["status"] for _, answer in failures),
        name,
        [leaf.name for leaf, _ in failures],
        [answer["error"] for _, answer in failures],
    )


def first(group: BaseExceptionGroup[ProxyError]) -> ProxyError:
    """One of the errors of tasks that failed together."""
    error = group.exceptions[0]
    return first(error) if isinstance(error, BaseExceptionGroup) else error
