"""What is wrong with a tree that can be read."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.ground.errors import ActionRequestInvalid, IllegalArgument
from proxy.semantic.retrievers.tree import (
    Branch,
    Common,
    Leaf,
    Linear,
    Reranker,
    Rescorer,
    Retriever,
    Rrf,
    Simplified,
)
from proxy.semantic.retrievers.validation import children, validate

WORDS = Leaf(name="standard", values={})
BRANCH = Branch(retriever=WORDS)


def rrf(window: int = 10, **more: Any) -> Rrf:
    return Rrf(common=Common(window=window), **{"branches": [BRANCH], **more})


def linear(**more: Any) -> Linear:
    return Linear(common=Common(window=10), **{"branches": [BRANCH], **more})


def reranker(child: Retriever) -> Reranker:
    return Reranker(common=Common(window=10), child=child, field="f", text="x")


def rescorer(child: Retriever, window: int = 10) -> Rescorer:
    return Rescorer(common=Common(window=window), child=child, rescore=[{}])


@pytest.mark.parametrize("tree", [WORDS, rrf(), linear(), reranker(rrf()), rescorer(rrf())])
def test_nothing_is_wrong(tree: Retriever):
    validate(tree, {}, {}, 10)


@pytest.mark.parametrize(
    ("tree", "body", "parameters", "size", "problem"),
    [
        (WORDS, {"query": {}, "sort": 1}, {}, -1, "cannot specify [retriever] and [query, sort]"),
        (WORDS, {}, {"q": "x"}, -1, "cannot specify [retriever] and [query]"),
        (rrf(), {}, {}, 11, "requires [rank_window_size: 10] be greater than or equal to [size"),
        (rrf(), {}, {"scroll": "1m"}, -1, "cannot specify [rrf] and [scroll]"),
        (
            rrf(),
            {},
            {"allow_partial_search_results": ""},
            -1,
            "cannot specify [rrf] and [allow_partial_search_results]",
        ),
        (rrf(-1), {}, {}, -1, "cannot be negative, found [-1]"),
        (
            reranker(rrf(5)),
            {},
            {},
            -1,
            "[rank_window_size: 10] to be smaller than or equal to its sub retriever's rrf",
        ),
        (rrf(branches=[]), {}, {}, -1, "[rrf] must provide [retrievers] or [query]"),
        (rrf(simplified=Simplified(fields=["a"])), {}, {}, -1, "[query] must be provided when"),
        (
            rrf(branches=[], simplified=Simplified(query="", fields=[])),
            {},
            {},
            -1,
            "1: [rrf] [query] cannot be empty;2: [rrf] [fields] cannot be empty;",
        ),
        (
            rrf(simplified=Simplified(query="x")),
            {},
            {},
            -1,
            "cannot combine [retrievers] and [query]",
        ),
        (
            linear(branches=[], simplified=Simplified(query="x")),
            {},
            {},
            -1,
            "[linear] [normalizer] must be provided when [query] is specified",
        ),
        (
            rescorer(rrf(5), 5),
            {},
            {},
            8,
            "1: [rescorer] requires [window_size: 5] be greater than or equal to [size: 8];"
            "2: [rrf] requires [rank_window_size: 5] be greater than or equal to [size: 8];",
        ),
        (
            rescorer(rrf(5), 10),
            {},
            {},
            5,
            "[rescorer] requires [window_size: 10] to be smaller than or equal to its sub "
            "retriever's rrf [rank_window_size: 5]",
        ),
        (
            rrf(branches=[Branch(retriever=rescorer(WORDS, 5))]),
            {},
            {},
            -1,
            "to be smaller than or equal to its sub retriever's rescorer [window_size: 5]",
        ),
        (rescorer(WORDS, -1), {}, {}, -2, "[window_size] parameter cannot be negative"),
        (
            Leaf(name="pinned", values={}, inner=rrf(-1)),
            {},
            {},
            -1,
            "cannot be negative, found [-1]",
        ),
    ],
)
def test_problems(tree: Retriever, body: Any, parameters: Any, size: int, problem: str):
    with pytest.raises(ActionRequestInvalid) as caught:
        validate(tree, body, parameters, size)
    assert problem in caught.value.reason.replace("; ", ";").replace(" 2:", "2:")


@pytest.mark.parametrize("name", ["search_after", "terminate_after"])
def test_what_cannot_stand_in_children(name: str):
    leaf = Leaf(name="standard", values={name: 1})
    validate(leaf, {}, {}, -1)
    with pytest.raises(IllegalArgument, match=rf"\[{name}\] cannot be used in children"):
        validate(rrf(branches=[Branch(retriever=leaf)]), {}, {}, -1)


def test_children():
    tree = rrf()
    assert children(tree) == [WORDS]
    assert children(reranker(tree)) == [tree]
    assert children(Leaf(name="pinned", values={}, inner=tree)) == [tree]
    assert children(rescorer(tree)) == [tree]
    assert children(WORDS) == []
