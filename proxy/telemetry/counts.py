"""Figures that are counted for every request, and shown seldom.

Counted in one thread, they need no lock, and no search for their series: the library's own take ten
times as long.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector


class Counts(Collector):
    """A counter, by the values of its labels."""

    def __init__(self, name: str, text: str, labels: Sequence[str]) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._counts: defaultdict[tuple[str, ...], float] = defaultdict(float)

    def add(self, *values: str, count: float = 1) -> None:
        """So many more, with these values of the labels."""
        self._counts[values] += count

    def collect(self) -> Iterable[CounterMetricFamily]:
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for values, count in self._counts.items():
            family.add_metric(values, count)
        yield family


class Times(Collector):
    """A histogram of times in seconds, by the value of its label."""

    def __init__(self, name: str, text: str, label: str, bounds: Sequence[float]) -> None:
        self._name, self._text, self._label = name, text, label
        self._bounds: Final = bounds
        self._shown = [*map(str, bounds), "+Inf"]
        self._counts: defaultdict[str, list[int]] = defaultdict(lambda: [0] * len(self._shown))
        self._sums: defaultdict[str, float] = defaultdict(float)

    def add(self, value: str, seconds: float) -> None:
        """One more, with this value of the label."""
        self._counts[value][bisect_left(self._bounds, seconds)] += 1
        self._sums[value] += seconds

    def collect(self) -> Iterable[HistogramMetricFamily]:
        family = HistogramMetricFamily(self._name, self._text, labels=[self._label])
        for value, counts in self._counts.items():
            so_far, buckets = 0, []
            for bound, count in zip(self._shown, counts, strict=True):
                so_far += count
                buckets.append((bound, so_far))
            family.add_metric([value], buckets, self._sums[value])
        yield family
