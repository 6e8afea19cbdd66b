from __future__ import annotations

from proxy.telemetry.storms import INTERVAL, Storms


class Minutes:
    """Timers that end when a test says so."""

    def __init__(self):
        self.timers = []

    def later(self, delay, call, kind, /):
        assert delay == INTERVAL
        self.timers.append((call, kind))

    def end(self):
        timers, self.timers = self.timers, []
        for call, kind in timers:
            call(kind)


def test_the_first_is_told_at_once_and_then_a_count_each_minute():
    minutes, told = Minutes(), []
    storms = Storms(minutes.later)

    def happen(kind, number):
        storms.happened(kind, lambda more: told.append((kind, number, more)))

    for number in range(1000):
        happen("a", number)
    happen("b", 0)
    assert told == [("a", 0, 0), ("b", 0, 0)]
    minutes.end()
    assert told[2:] == [("a", 999, 999)]  # as the last one was
    happen("a", 1000)
    assert told[3:] == []
    minutes.end()
    assert told[3:] == [("a", 1000, 1)]
    minutes.end()
    assert minutes.timers == []  # nothing is kept of what has ended
    happen("a", 1001)
    assert told[4:] == [("a", 1001, 0)]


async def test_the_event_loop_keeps_the_time_by_default():
    told: list[int] = []
    Storms().happened("a", told.append)
    assert told == [0]
