from __future__ import annotations

import math

from proxy.limits.deadline import NO_DEADLINE, Deadline


def test_a_deadline_tells_the_seconds_left():
    deadline = Deadline.after(5.0, clock=lambda: 100.0)
    assert deadline.seconds_left(lambda: 103.0) == 2.0
    assert deadline.seconds_left(lambda: 106.0) == -1.0


def test_a_negative_number_is_no_limit():
    assert Deadline.after(-1.0) == NO_DEADLINE
    assert NO_DEADLINE.seconds_left() == math.inf
