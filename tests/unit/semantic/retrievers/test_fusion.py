from __future__ import annotations

import math

import pytest

from proxy.semantic.retrievers.fusion import (
    LEAST_SCORE,
    NORMALIZERS,
    Scored,
    f32,
    linear,
    reranked,
    rrf,
    shown_score,
)


def ranking(*found: tuple[str, float], first: int = 0) -> list[Scored]:
    return [Scored(("i", name), f32(score), first + n) for n, (name, score) in enumerate(found)]


def shown(documents):
    return [(one.key[1], one.score) for one in documents]


def test_rrf_sums_reciprocal_ranks_in_32_bits():
    words = ranking(("a", 9), ("b", 8), ("c", 7))
    meaning = ranking(("c", 0.9), ("a", 0.8), ("d", 0.7))
    fused = rrf([words, meaning], [1.0, 1.0], 60, 10)
    # 1/61 + 1/62, 1/63 + 1/61, 1/62, 1/63, each rounded to the nearest float
    assert shown(fused.documents) == [
        ("a", 0.032522473484277725),
        ("c", 0.032266460359096527),
        ("b", 0.016129031777381897),
        ("d", 0.01587301678955555),
    ]
    assert fused.parts["i", "a"].ranks == [1, 2]
    assert fused.parts["i", "d"].ranks == [0, 3]


def test_weights_of_rrf():
    fused = rrf([ranking(("a", 1)), ranking(("b", 1))], [f32(0.1), f32(0.9)], 60, 10)
    assert shown(fused.documents) == [
        ("b", 0.0147540969774127),  # 0.9 / 61
        ("a", 0.0016393441474065185),  # 0.1 / 61
    ]


def test_ties_go_by_place_and_the_window_cuts_after_them():
    late, early = ranking(("late", 1), first=7), ranking(("early", 1), first=3)
    assert shown(rrf([late, early], [1.0, 1.0], 1, 1).documents) == [("early", 0.5)]
    assert shown(rrf([late, early], [1.0, 1.0], 1, 2).documents) == [("early", 0.5), ("late", 0.5)]


def test_linear_sums_weighted_scores():
    words, meaning = ranking(("a", 5), ("b", 3)), ranking(("b", 0.5), ("c", 0.25))
    fused = linear([words, meaning], [2.0, 4.0], ["none", "none"], 10)
    assert shown(fused.documents) == [("a", 10.0), ("b", 8.0), ("c", 1.0)]


def test_minmax_of_each_ranking():
    words, meaning = ranking(("a", 5), ("b", 4), ("c", 1)), ranking(("c", 0.9), ("a", 0.3))
    fused = linear([words, meaning], [1.0, 0.5], ["minmax", "minmax"], 10)
    assert shown(fused.documents) == [("a", 1.0), ("b", 0.75), ("c", 0.5)]


def test_l2_norm_of_each_ranking():
    fused = linear([ranking(("a", 4), ("b", 3))], [1.0], ["l2_norm"], 10)
    assert shown(fused.documents) == [("a", f32(0.8)), ("b", f32(0.6))]


def test_hits_without_a_score_count_as_nothing():
    fused = linear([ranking(("a", math.nan)), ranking(("a", 2))], [1.0, 1.0], ["none"] * 2, 10)
    assert shown(fused.documents) == [("a", 2.0)]


@pytest.mark.parametrize(
    ("normalizer", "scores", "normalized"),
    [
        ("minmax", [], []),
        ("minmax", [7.0], [1.0]),
        ("minmax", [2.0, 2.0], [1.0, 1.0]),
        ("minmax", [0.0, 0.0], [1.0, 1.0]),
        ("l2_norm", [0.0, 0.0], [0.0, 0.0]),
        ("l2_norm", [], []),
        ("none", [3.0], [3.0]),
    ],
)
def test_normalizers_at_their_limits(normalizer, scores, normalized):
    assert list(NORMALIZERS[normalizer](scores)) == normalized


@pytest.mark.parametrize(
    ("raw", "score"),
    [
        (f32(0.91), 1.9100000858306885),
        (0.0, 1.0),
        (f32(-1.2), f32(0.3011942)),
        (f32(-3.5), f32(0.030197384)),
        (1e9, f32(1e9 + 1)),
        (-200.0, 0.0),
    ],
)
def test_scores_of_rerankers_become_positive(raw, score):
    assert shown_score(raw) == score


def test_reranked_by_raw_scores_of_at_least_the_minimum():
    found = ranking(("a", 3), ("b", 2), ("c", 1), ("d", 1))
    assert shown(reranked(found, [-1.0, 0.5, 0.5, 0.4], 0.5)) == [("b", 1.5), ("c", 1.5)]
    assert [one.key[1] for one in reranked(found, [-1.0, 0.5, 0.5, 0.4], None)] == [
        "b",
        "c",
        "d",
        "a",
    ]


def test_least_score_is_a_float_above_zero():
    assert f32(LEAST_SCORE) == LEAST_SCORE > 0
    assert f32(LEAST_SCORE / 2) == 0
