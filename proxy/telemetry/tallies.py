"""Counts and durations of what happens with every request, kept where adding one costs little.

The client library's own counters and histograms take a lock for each, and twice as long.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Counts(Collector):
    """A counter for each combination of label values."""

    def __init__(self, name: str, text: str, labels: Sequence[str]) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._counts: defaultdict[tuple[str, ...], int] = defaultdict(int)

    def add(self, *values: str) -> None:
        """One more with these values of the labels."""
        self._counts[values] += 1

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for values, count in self._counts.items():
            family.add_metric(values, count)
        return [family]


class _Durations:
    """Those with one value of the label."""

    __slots__ = ("counts", "seconds")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.seconds = 0.0  # together


class Durations(Collector):
    """A histogram for each value of a label; `bounds` are the upper ones, but for infinity."""

    def __init__(self, name: str, text: str, label: str, bounds: Sequence[float]) -> None:
        self._name, self._text, self._label, self._bounds = name, text, label, bounds
        self._known: dict[str, _Durations] = {}

    def add(self, value: str, seconds: float) -> None:
        """One more with this value of the label."""
        known = self._known.get(value)
        if known is None:
            known = self._known[value] = _Durations(len(self._bounds) + 1)
        known.counts[bisect_left(self._bounds, seconds)] += 1
        known.seconds += seconds

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self._name, self._text, labels=[self._label])
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        for value, known in self._known.items():
            buckets = list(zip(names, accumulate(known.counts), strict=True))
            family.add_metric([value], buckets, known.seconds)
        return [family]
