from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from proxy.ground.errors import IllegalArgument
from proxy.semantic.fields import SemanticField
from proxy.semantic.registry import Target
from proxy.semantic.retrievers import simplified
from proxy.semantic.retrievers.tree import Branch, Common, Fusing, Leaf, Linear, Rrf, Simplified


def spelled(tree: Fusing, found: Target, defaults: Mapping[str, Sequence[str]]) -> Any:
    return simplified.expanded(tree, found, defaults)


def field(path: str) -> SemanticField:
    return SemanticField(
        path=path,
        definition={"inference_id": "hf"},
        number=1,
        model=None,
        seen=True,
        sources=(path,),
    )


def target(*, others: bool = False, **fields: str) -> Target:
    found = {
        index: {path: field(path) for path in paths.split()} for index, paths in fields.items()
    }
    return Target(exists=True, fields=found, others=others)


def rrf(*fields: str, query: str = "moon") -> Rrf:
    short = Simplified(query=query, fields=list(fields) or None)
    return Rrf(common=Common(window=20, filters=[{"term": {"a": 1}}]), simplified=short)


def leaf(query, only=None) -> Leaf:
    return Leaf(name="standard", values={"query": query} | ({"filter": only} if only else {}))


def words(*fields: str):
    return {"multi_match": {"query": "moon", "type": "most_fields", "fields": list(fields)}}


def meaning(path: str):
    return {"match": {path: {"query": "moon"}}}


def test_words_in_one_query_and_meaning_in_a_retriever_below():
    tree = spelled(rrf("title^2", "body^3"), target(i="body"), {})
    assert isinstance(tree, Rrf)
    assert tree.common.filters == [{"term": {"a": 1}}]
    below = Rrf(
        common=Common(window=20), branches=[Branch(retriever=leaf(meaning("body")), weight=3.0)]
    )
    assert tree.branches == [
        Branch(retriever=leaf(words("title^2.0"))),
        Branch(retriever=below),
    ]


def test_patterns_and_defaults_are_of_both_kinds():
    for tree in (rrf("*"), rrf()):
        first, second = spelled(tree, target(i="body a.note"), {}).branches
        assert first.retriever == leaf(words("*"))
        assert [one.retriever for one in second.retriever.branches] == [
            leaf(meaning("body")),
            leaf(meaning("a.note")),
        ]


def test_default_fields_of_an_index():
    tree = spelled(rrf(), target(i="body"), {"i": ["title", "body"]})
    assert tree.branches[0].retriever == leaf(words("title"))


def test_a_pattern_and_a_name_multiply():
    tree = spelled(rrf("b*^2", "body^3"), target(i="body"), {})
    assert tree.branches[1].retriever.branches[0].weight == 6.0


def test_fields_that_are_semantic_in_some_indices():
    tree = spelled(rrf("body"), target(i="body", others=True), {})
    elsewhere, here = tree.branches
    assert elsewhere.retriever == leaf(
        {"match": {"body": {"query": "moon", "boost": 1.0}}},
        {"bool": {"must_not": [{"terms": {"_index": ["i"]}}]}},
    )
    assert here.retriever.branches[0].retriever == leaf(
        meaning("body"), {"terms": {"_index": ["i"]}}
    )


def test_linear_keeps_its_normalizer():
    short = Simplified(query="moon", fields=["title", "body"])
    linear = Linear(common=Common(window=10), normalizer="minmax", simplified=short)
    tree = spelled(linear, target(i="body"), {})
    assert (tree.normalizer, tree.branches[1].retriever.normalizer) == ("minmax", "minmax")


def test_no_index_at_all():
    tree = spelled(rrf("title"), Target(exists=False, fields={}), {})
    assert tree == leaf({"match_none": {}})


def test_negative_weights():
    with pytest.raises(IllegalArgument, match="per-field weights must be non-negative"):
        spelled(rrf("title^-1"), target(i="body"), {})
