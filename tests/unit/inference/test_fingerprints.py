from __future__ import annotations

import random

import pytest

from proxy.inference.fingerprints import Fingerprint, Model

DRAW = random.Random(7)


def vector(dimensions: int = 384) -> list[float]:
    return [DRAW.gauss(0, 1) for _ in range(dimensions)]


@pytest.mark.parametrize("dimensions", [1, 2, 255, 256, 257, 384, 4096])
def test_a_model_is_near_to_itself_and_far_from_others(dimensions):
    one = vector(dimensions)
    known = Fingerprint.of(one, Model())
    assert known.distance(one) < 1e-5
    assert known.distance([1000 * number for number in one]) < 1e-5
    assert known.distance([-number for number in one]) > 1.9
    assert len(known.vector) <= 700


def test_another_model_is_far():
    assert 0.5 < Fingerprint.of(vector(), Model()).distance(vector()) < 1.5


def test_vectors_of_another_size_are_of_another_model():
    one = vector(300)
    assert Fingerprint.of(one, Model()).distance(one[:256]) == 1.0


def test_other_number_formats_are_near():
    one = vector()
    half = [round(number, 3) for number in one]
    assert Fingerprint.of(one, Model()).distance(half) < 0.001


@pytest.mark.parametrize("odd", [[0.0, 0.0], [1e300, 1e300], [3e38, -3e38]])
def test_odd_vectors_can_be_kept(odd):
    known = Fingerprint.of(odd, Model())
    assert known.distance(odd) in (pytest.approx(0.0, abs=1e-5), 1.0)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (Model(), "a model without a name"),
        (Model(model_id="a/b"), "[a/b]"),
        (Model(model_id="a/b", model_sha="c0ffee"), "[a/b] of revision [c0ffee]"),
    ],
)
def test_models_are_named(model, text):
    assert str(model) == text
