"""What is shown is what the client library's own counters and histograms show."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from proxy.telemetry.counts import Counts, Times

BOUNDS = (0.001, 0.5, 10.0)


def shown(registry: CollectorRegistry) -> bytes:
    return generate_latest(registry)


def test_counts_by_labels():
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    counts = Counts("hfproxy_calls", "Calls", ("task", "status"))
    ours.register(counts)
    counter = Counter("hfproxy_calls", "Calls", ("task", "status"), registry=theirs)
    for task, status in (("rerank", "200"), ("rerank", "429"), ("rerank", "200")):
        counts.add(task, status)
        counter.labels(task, status).inc()
    assert shown(ours) == shown(theirs)


def test_times_by_a_label():
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    times = Times("hfproxy_seconds", "Time", "route", BOUNDS)
    ours.register(times)
    histogram = Histogram("hfproxy_seconds", "Time", ("route",), buckets=BOUNDS, registry=theirs)
    for route, seconds in (("a", 0.001), ("a", 0.25), ("b", 0.0), ("a", 10.0), ("a", 60.0)):
        times.add(route, seconds)
        histogram.labels(route).observe(seconds)
    assert shown(ours) == shown(theirs)
