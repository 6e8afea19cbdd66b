"""Explanations of fused scores, in Elasticsearch's words."""

from __future__ import annotations

from typing import Any, Final

import pytest

from proxy.semantic.retrievers.explaining import (
    explain_linear,
    explain_nearest,
    explain_reranker,
    explain_rrf,
    java_float,
    topmost,
)
from proxy.semantic.retrievers.fusion import Scored, f32, linear, rrf
from proxy.semantic.retrievers.leaves import Ranking
from proxy.semantic.retrievers.tree import Branch, Common, Leaf, Linear, Reranker, Rrf, Snippets

A: Final = ("i", "a")
B: Final = ("i", "b")
OWN: Final = {"value": 2.0, "description": "own", "details": []}
WORDS: Final = Ranking([Scored(A, 2.0, 0), Scored(B, 1.0, 1)], {}, {A: OWN})
MEANING: Final = Ranking([Scored(A, 0.5, 0)], {})
COMMON: Final = Common(window=10)
BRANCHES: Final = [
    Branch(retriever=Leaf(name="standard", values={"_name": "words"})),
    Branch(retriever=Leaf(name="knn", values={})),
]


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0.0, "0.0"), (1.0, "1.0"), (f32(0.1), "0.1"), (f32(1 / 61), "0.016393442")],
)
def test_floats_are_printed_as_by_java(number: float, shown: str):
    assert java_float(number) == shown


def test_ranks_are_told():
    tree = Rrf(common=COMMON, branches=BRANCHES)
    fused = rrf([WORDS.documents, MEANING.documents], [1.0, 1.0], 60, 10)
    found = explain_rrf(tree, [1.0, 1.0], fused, [WORDS, MEANING])
    first, second = found[A], found[B]
    assert first["value"] == 0.032786883  # not 0.032786883413791656
    assert "computed for initial ranks [1, 1] with rankConstant: [60]" in first["description"]
    assert first["details"][0]["details"] == [OWN]
    assert (
        "in query at index [0] [words] computed as [1 / (1 + 60)]"
        in (first["details"][0]["description"])
    )
    missing = second["details"][1]
    assert missing["description"] == "rrf score: [0], result not found in query at index [1]"


def test_shares_are_told():
    tree = Linear(common=COMMON, branches=BRANCHES)
    names = ["none", "none"]
    fused = linear([WORDS.documents, MEANING.documents], [1.0, 2.0], names, 10)
    found = explain_linear(tree, [1.0, 2.0], names, fused, [WORDS, MEANING])
    assert "for normalized scores [2.0, 0.5] and weights [1.0, 2.0]" in found[A]["description"]
    share = found[A]["details"][1]
    assert share["value"] == 1.0
    assert "computed as [2.0 * 0.5] using score normalizer [none]" in share["description"]
    assert found[B]["details"][1]["value"] == 0


@pytest.mark.parametrize(
    ("snippets", "more"),
    [(None, ""), (Snippets(size=2), "and rescoring considering only top [2] best chunks")],
)
def test_rerankers_are_told(snippets: Any, more: str):
    tree = Reranker(
        common=COMMON,
        child=BRANCHES[0].retriever,
        field="title",
        text="x",
        snippets=snippets,
    )
    found = explain_reranker(tree, "hf", [Scored(A, 3.0, 0)], WORDS)[A]
    assert found == {
        "value": 3.0,
        "description": "text_similarity_reranker match using inference endpoint: [hf] on document "
        f"field: [title] matching on source query {more}[words]",
        "details": [OWN],
    }


def test_neighbours_are_told_by_rank_and_similarity():
    shard = 3 << 32
    found = explain_nearest([Scored(A, 0.5, shard + 7), Scored(B, f32(0.1), 1)])
    assert found[A] == {
        "value": 1,
        "description": "doc [7] with an original score of [0.5] is at rank [1] from the following "
        "source queries.",
        "details": [
            {
                "value": 0.5,
                "description": "found vector with calculated similarity: 0.5",
                "details": [],
            }
        ],
    }
    assert found[B]["value"] == 2
    assert found[B]["details"][0]["description"].endswith(": 0.1")


def test_a_hits_own_stands_alone_where_every_document_is_searched():
    upstream = {"details": [required("*:*"), {"description": "ConstantScore(*:*)^0.0"}]}
    assert topmost(OWN, upstream) == OWN


def test_a_hits_own_stands_beside_the_filters_of_the_index():
    filters = [required("FieldExistsQuery [field=_primary_term]"), required("kind:note")]
    upstream = {"details": [filters[0], {"description": "sum of:"}, filters[1], required("*:*")]}
    assert topmost(OWN, upstream) == {
        "value": 2.0,
        "description": "sum of:",
        "details": [OWN, *filters],
    }


def required(query: str) -> dict[str, Any]:
    """A filter that a document meets, as Lucene explains it."""
    return {
        "value": 0.0,
        "description": "match on required clause, product of:",
        "details": [
            {"value": 0.0, "description": "# clause", "details": []},
            {"value": 1.0, "description": query, "details": []},
        ],
    }
