from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.ground.errors import ActionRequestInvalid, Cause, IllegalArgument, ProxyError
from proxy.inference.chunking import ChunkingSettings
from proxy.semantic.retrievers.tree import (
    Branch,
    Common,
    Leaf,
    Linear,
    Reranker,
    Rescorer,
    Rrf,
    Snippets,
    has_compound,
    parse_tree,
)
from proxy.semantic.retrievers.validation import validate
from proxy.xcontent.document import Bounds
from proxy.xcontent.jsonreader import parse_json

WORDS = {"standard": {"query": {"match": {"title": "moon"}}}}
BOUNDS = Bounds(nesting=100, values=10_000)


def parsed(retriever):
    return parse_tree(parse_json(orjson.dumps({"retriever": retriever}), BOUNDS))


def problems(retriever, size=-1, body=None, **parameters):
    whole = {"retriever": retriever, **(body or {})}
    with pytest.raises(ActionRequestInvalid) as error:
        validate(parsed(retriever), whole, parameters, size)
    return error.value.reason.removeprefix("Validation Failed: ")


def refusal(retriever) -> ProxyError:
    with pytest.raises(ProxyError) as error:
        parsed(retriever)
    return error.value


def innermost(error: ProxyError) -> str:
    found: ProxyError | Cause = error
    while found.cause is not None:
        found = found.cause
    return f"{found.type}: {found.reason}"


def test_a_tree_of_every_kind():
    tree = parsed(
        {
            "text_similarity_reranker": {
                "retriever": {
                    "rrf": {
                        "retrievers": [
                            WORDS,
                            {"retriever": {"knn": {"field": "v"}}, "weight": 2},
                            {
                                "linear": {
                                    "retrievers": [
                                        {"retriever": WORDS, "weight": 3, "normalizer": "MinMax"}
                                    ],
                                    "min_score": 0.5,
                                }
                            },
                        ],
                        "rank_constant": 20,
                        "filter": {"term": {"kind": "log"}},
                        "_name": "both",
                    }
                },
                "field": "title",
                "inference_text": "tides",
                "inference_id": "hf",
                "rank_window_size": "7",
                "min_score": -1,
                "chunk_rescorer": {"size": 2, "chunking_settings": {"max_chunk_size": 30}},
            }
        }
    )
    assert isinstance(tree, Reranker)
    assert (tree.common.window, tree.common.min_score, tree.inference_id) == (7, -1.0, "hf")
    assert tree.snippets == Snippets(
        size=2, chunking=ChunkingSettings(max_chunk_size=30, sentence_overlap=0)
    )
    fused = tree.child
    assert isinstance(fused, Rrf)
    assert (fused.rank_constant, fused.common.label) == (20, "both")
    assert fused.common.filters == [{"term": {"kind": "log"}}]
    words = Leaf(name="standard", values=WORDS["standard"])
    assert fused.branches[0] == Branch(retriever=words)
    assert fused.branches[1].weight == 2.0
    summed = fused.branches[2].retriever
    assert isinstance(summed, Linear)
    assert summed.branches == [Branch(retriever=words, weight=3.0, normalizer="minmax")]


def test_compounds_are_looked_for_where_retrievers_stand():
    assert has_compound({"retriever": {"rrf": {}}})
    assert has_compound({"retriever": {"rescorer": {"retriever": {"linear": {}}}}})
    assert not has_compound({"retriever": {"standard": {"query": {"term": {"rrf": 1}}}}})
    assert not has_compound({"query": {"rrf": {}}})


def test_a_compound_below_a_retriever_of_the_upstream():
    tree = parsed({"pinned": {"retriever": {"rrf": {"retrievers": [WORDS]}}, "ids": ["1"]}})
    assert isinstance(tree, Leaf)
    assert isinstance(tree.inner, Rrf)


@pytest.mark.parametrize(
    ("rescore", "window"),
    [
        ({"query": {}}, 10),
        ([{"window_size": 7}, {"window_size": 5}], 5),
        ({"window_size": "of no size"}, 10),  # which the upstream refuses
    ],
)
def test_the_window_of_a_rescorer_is_the_least_of_its_parts(rescore: Any, window: int):
    values = {"retriever": WORDS, "rescore": rescore, "filter": {"term": {"a": 1}}}
    tree = parsed({"rrf": {"retrievers": [{"rescorer": values}]}})
    assert isinstance(tree, Rrf)
    below = tree.branches[0].retriever
    assert isinstance(below, Rescorer)
    assert below.common == Common(window=window, filters=[{"term": {"a": 1}}])
    assert below.rescore == (rescore if isinstance(rescore, list) else [rescore])


@pytest.mark.parametrize(
    ("retriever", "reason"),
    [
        ({"rrf": {"quer": "x"}}, "[1:22] [rrf] unknown field [quer] did you mean [query]?"),
        ({"rrf": {"rank_window_size": []}}, "rank_window_size doesn't support values of type"),
        ({"rrf": []}, "[rrf] retriever malformed, no [START_OBJECT] after retriever name"),
        (
            {"text_similarity_reranker": {"retriever": WORDS}},
            "Required [inference_text, field]",
        ),
        ({"rescorer": {"retriever": WORDS}}, "Required [rescore]"),
        (
            {"rrf": {"query": "x"}, "standard": {}},
            "[rrf] malformed retriever, expected [END_OBJECT] but found [FIELD_NAME]",
        ),
        (
            {"rrf": {"query": "x", "rank_constant": 0}},
            "[rank_constant] must be greater or equal to [1] for [rrf]",
        ),
        (
            {"linear": {"query": "x", "min_score": -1}},
            "[min_score] must be greater than or equal to 0, was: [-1.0]",
        ),
    ],
)
def test_what_cannot_be_read(retriever, reason):
    assert reason in refusal(retriever).reason


@pytest.mark.parametrize(
    ("retriever", "cause"),
    [
        (
            {"rrf": {"retrievers": [{"retriever": WORDS, "weight": -0.5}]}},
            "illegal_argument_exception: [weight] must be non-negative, found [-0.5]",
        ),
        (
            {"linear": {"retrievers": [{"retriever": WORDS, "normalizer": "z"}]}},
            "illegal_argument_exception: Unknown normalizer [z]",
        ),
        (
            {
                "text_similarity_reranker": {
                    "retriever": WORDS,
                    "field": "f",
                    "inference_text": "x",
                    "chunk_rescorer": {"size": 0},
                }
            },
            "illegal_argument_exception: size must be greater than 0, was: 0",
        ),
    ],
)
def test_causes_of_what_cannot_be_read(retriever, cause):
    assert innermost(refusal(retriever)) == cause


def test_windows_that_are_too_small():
    inner = {"rrf": {"retrievers": [WORDS], "rank_window_size": 5}}
    assert problems({"rrf": {"retrievers": [inner]}}, 20) == (
        "1: [rrf] requires [rank_window_size: 10] be greater than or equal to [size: 20];"
        "2: [rrf] requires [rank_window_size: 5] be greater than or equal to [size: 20];"
        "3: [rrf] requires [rank_window_size: 10] to be smaller than or equal to its sub "
        "retriever's rrf [rank_window_size: 5];"
    )


def test_what_does_not_go_with_retrievers():
    rrf = {"rrf": {"retrievers": [WORDS], "rank_window_size": -1}}
    body = {"query": {}, "sort": ["a"], "rescore": {}}
    assert problems(rrf, body=body, scroll="1m", allow_partial_search_results="true") == (
        "1: cannot specify [retriever] and [query, sort, rescore];"
        "2: cannot specify [rrf] and [allow_partial_search_results];"
        "3: cannot specify [rrf] and [scroll];"
        "4: [rank_window_size] parameter cannot be negative, found [-1];"
    )


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("rrf", {}, "[rrf] must provide [retrievers] or [query]"),
        ("rrf", {"fields": ["a"]}, "[rrf] [query] must be provided when [fields] is specified"),
        ("rrf", {"query": ""}, "[rrf] [query] cannot be empty"),
        ("rrf", {"query": "x", "fields": []}, "[rrf] [fields] cannot be empty"),
        (
            "rrf",
            {"query": "x", "retrievers": [WORDS]},
            "[rrf] cannot combine [retrievers] and [query]",
        ),
        (
            "linear",
            {"query": "x"},
            "[linear] [normalizer] must be provided when [query] is specified",
        ),
    ],
)
def test_fields_and_text_that_do_not_fit(name, values, reason):
    assert problems({name: values}) == f"1: {reason};"


def test_leaves_that_go_on_after_something():
    tree = {"rrf": {"retrievers": [{"standard": {"search_after": [1]}}]}}
    with pytest.raises(IllegalArgument, match=r"\[search_after\] cannot be used in children"):
        validate(parsed(tree), {"retriever": tree}, {}, -1)
