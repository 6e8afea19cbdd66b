"""What the siege makes of an unrelated caller's waits."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.siege import attacks as attacks  # fills the tables
from tests.siege.catalogue import ATTACKS
from tests.siege.figures import Figures, Wait, Waits, late_by

FIRST = next(iter(ATTACKS.values()))


def figures(**other):
    good: dict[str, Any] = {
        "attack": FIRST,
        "quiet": Waits(0.002, 0.01),
        "besieged": Waits(0.051, 0.3),
        "late": 0.0,
        "refused": Counter(),
        "idle": 60.0,
        "peak": 519.0,
        "allowed": 520,
    }
    return Figures(**good | other)


def test_what_stays_within_all_bounds_is_ok():
    assert figures().misses == []
    assert "ok" in str(figures())


@pytest.mark.parametrize(
    ("other", "missed"),
    [
        ({"besieged": Waits(0.053, 0.3)}, "median wait"),
        ({"besieged": Waits(0.051, 0.311)}, "worst wait"),
        ({"late": 0.31}, "worst wait"),
        ({"peak": 521.0}, "memory"),
        ({"refused": Counter({429: 2})}, "others got 429 x 2"),
        ({"broken": ["too many"]}, "too many"),
    ],
)
def test_each_bound_is_watched(other, missed):
    assert figures(**other).misses == [missed]
    assert f"FAILED: {missed}" in str(figures(**other))


def test_the_kind_that_waits_longer_counts():
    waits = [
        *(Wait("forward", 0.0, 0.001, 200) for _ in range(9)),
        *(Wait("infer", 0.0, 0.2, 200) for _ in range(3)),
        Wait("large", 0.0, 1.25, 504),
    ]
    assert Waits.of(waits) == Waits(0.2, 0.2)
    assert late_by(waits) == pytest.approx(0.25)


def test_a_larger_inference_may_run_out_of_time_but_not_be_refused():
    assert not Wait("large", 0.0, 1.0, 504).is_refused
    assert Wait("large", 0.0, 0.1, 429).is_refused
    assert Wait("infer", 0.0, 0.1, 504).is_refused
    assert not Wait("infer", 0.0, 3.0, None).is_refused  # it waits on


def test_each_family_has_an_attack_that_tests_run():
    assert {one.family for one in ATTACKS.values() if one.brief} >= {*range(1, 13), 18, 19}
