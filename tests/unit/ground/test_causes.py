from __future__ import annotations

from proxy.ground.causes import Cause
from proxy.ground.quoting import MOST

CAUSE = Cause("outer", "one", Cause("inner", "two"))


def test_causes_are_rendered_within_each_other():
    assert CAUSE.render() == {
        "type": "outer",
        "reason": "one",
        "caused_by": {"type": "inner", "reason": "two"},
    }


def test_every_text_is_reworded():
    assert CAUSE.reworded(str.upper) == Cause("outer", "ONE", Cause("inner", "TWO"))


def test_a_long_text_is_cut():
    assert len(Cause("outer", "x" * 10 * MOST).reason) < 2 * MOST
