"""`query_vector_builder` of a `knn`."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.ground.errors import IllegalArgument, ProxyError, XContentParseFailed
from proxy.semantic.vectorbuilders import Build, build_of


@pytest.mark.parametrize(
    ("builder", "build"),
    [
        ({"text_embedding": {"model_id": "e", "model_text": "x"}}, Build("e", "x")),
        ({"text_embedding": {"model_text": "x"}}, Build(None, "x")),
        ({"embedding": {"inference_id": "e", "input": "x"}}, Build("e", "x")),
        ({"lookup": {"id": "1"}}, None),
        ({"text_embedding": "x"}, None),
        ({}, None),
        ("x", None),
        (None, None),
    ],
)
def test_what_is_built(builder: Any, build: Build | None):
    assert build_of({"field": "a", "query_vector_builder": builder}) == build


@pytest.mark.parametrize(
    ("more", "builder", "error", "reason"),
    [
        ({"query_vector": [1]}, {"text_embedding": {}}, IllegalArgument, "only one of"),
        ({}, {"text_embedding": {}}, XContentParseFailed, r"Required \[model_text\]"),
        ({}, {"text_embedding": {"model_text": 1}}, XContentParseFailed, r"\[model_text\]"),
        ({}, {"embedding": {"input": "x"}}, IllegalArgument, r"\[inference_id\] must be"),
    ],
)
def test_what_cannot_be_built(more: Any, builder: Any, error: type[ProxyError], reason: str):
    with pytest.raises(error, match=reason):
        build_of({**more, "query_vector_builder": builder})
