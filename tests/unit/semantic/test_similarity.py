"""Scores as the pages on `dense_vector` and `knn` define them."""

from __future__ import annotations

import pytest

from proxy.semantic.similarity import score


@pytest.mark.parametrize(
    ("similarity", "query", "vector", "expected"),
    [
        ("cosine", [1.0, 0.0], [2.0, 0.0], 1.0),
        ("cosine", [1.0, 0.0], [0.0, 3.0], 0.5),
        ("cosine", [1.0, 0.0], [-1.0, 0.0], 0.0),
        ("cosine", [1.0, 0.0], [0.0, 0.0], 0.0),
        ("dot_product", [0.6, 0.8], [0.8, 0.6], 0.98),
        ("max_inner_product", [2.0, 1.0], [1.0, 1.0], 4.0),
        ("max_inner_product", [2.0, 1.0], [-1.0, -1.0], 0.25),
        ("l2_norm", [0.0, 0.0], [3.0, 4.0], 1 / 26),
        ("l2_norm", [3.0, 4.0], [3.0, 4.0], 1.0),
    ],
)
def test_scores(similarity, query, vector, expected):
    assert score(similarity, query, vector) == pytest.approx(expected)


def test_cosine_where_no_similarity_is_known():
    assert score("", [1.0, 0.0], [0.0, 3.0]) == 0.5
