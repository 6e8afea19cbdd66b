"""The figures in the form of Prometheus."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from proxy.telemetry.metrics import BUCKETS, Counter, Metrics, Reading, Timer

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_PREFIX: Final = "hfproxy_"


class Collector:
    """The figures in the client library's form."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        for counter in self._metrics.counters:
            yield _counter(counter)
        for timer in self._metrics.timers:
            yield _histogram(timer)
        yield from _readings(self._metrics.readings)


def _counter(counter: Counter) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(_PREFIX + counter.name, counter.text, labels=counter.labels)
    for labels, value in sorted(counter.values.items()):
        family.add_metric(labels, value)
    return family


def _histogram(timer: Timer) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(_PREFIX + timer.name, timer.text, labels=timer.labels)
    for labels, counts in sorted(timer.counts.items()):
        total, buckets = 0, []
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        family.add_metric(labels, buckets, timer.sums[labels])
    return family


def _readings(readings: Iterable[Reading]) -> Iterable[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
    for reading in readings:
        names, values = [name for name, _ in reading.labels], [text for _, text in reading.labels]
        kind = CounterMetricFamily if reading.grows else GaugeMetricFamily
        if reading.name not in families:
            families[reading.name] = kind(_PREFIX + reading.name, reading.text, labels=names)
        families[reading.name].add_metric(values, reading.read())
    return families.values()
