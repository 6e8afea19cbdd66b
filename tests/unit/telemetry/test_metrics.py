"""What is counted, and how Prometheus sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from proxy.telemetry.endpoints import Endpoints
from proxy.telemetry.metrics import Metrics, ProviderCall

EXPECTED: Final = (Path(__file__).parent / "metrics.txt").read_text("utf-8")


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def own_families(text):
    """Name, kind, help text and samples of each family of ours."""
    return {
        family.name: (
            family.type,
            family.documentation,
            {(s.name, *sorted(s.labels.items())): s.value for s in family.samples},
        )
        for family in text_string_to_metric_families(text)
        if family.name.startswith("hfproxy_")
    }


def shown(metrics):
    return generate_latest(metrics.registry).decode()


async def test_names_texts_labels_and_buckets_are_as_dashboards_know_them():
    clock = Clock()
    metrics = Metrics(Endpoints(), clock=clock)
    for seconds in (0.0005, 0.001):
        metrics.count_request("infer", "200", seconds)
    metrics.count_request("put_endpoint", "400", 0.004)
    metrics.count_limit("inputs")
    metrics.count_retry("rerank")
    with ProviderCall(metrics, "rerank") as call:
        call.status = "503"
        clock.now += 0.2
    with ProviderCall(metrics, "text_embedding"):
        clock.now += 3
    for wait in (0.5, 0.0005):
        with metrics.rate_limit_wait():
            clock.now += wait
    metrics.endpoints.rest_of("rerank").failed("paused")
    found, expected = own_families(shown(metrics)), own_families(EXPECTED)
    assert found == expected


async def test_odd_statuses_are_counted_by_their_class():
    metrics = Metrics(Endpoints())
    statuses = [*map(str, range(200, 1000)), "broken_off", "-1", "20", ""]
    for status in statuses:
        metrics.count_request("infer", status, 0.1)
        with ProviderCall(metrics, "rerank") as call:
            call.status = status
    for name, labels in (
        ("requests", {"route": "infer"}),
        ("provider_calls", {"task": "rerank"}),
    ):
        samples = own_families(shown(metrics))[f"hfproxy_{name}"][2]
        assert len(samples) == 24
        assert sum(samples.values()) == len(statuses)
        for status, count in (("200", 1), ("429", 1), ("2xx", 98), ("5xx", 96), ("other", 403)):
            key = (f"hfproxy_{name}_total", *sorted({**labels, "status": status}.items()))
            assert samples[key] == count, status


async def test_a_call_that_fails_is_counted():
    metrics = Metrics(Endpoints())
    with pytest.raises(OSError, match="reset"), ProviderCall(metrics, "rerank"):
        raise OSError("reset")
    labels = {"task": "rerank", "status": "failed"}
    assert metrics.registry.get_sample_value("hfproxy_provider_calls_total", labels) == 1
    assert metrics.registry.get_sample_value("hfproxy_provider_seconds_count", {"task": "rerank"})


def test_figures_of_other_parts_are_read_when_they_are_shown():
    metrics, counts = Metrics(Endpoints()), {"open": 1, "memory": 2}
    metrics.add_gauge("open", "Open now", lambda: counts["open"])
    metrics.add_counter("reads", "Reads", "source", {"memory": lambda: counts["memory"]})
    counts |= {"open": 5, "memory": 6}
    text = shown(metrics)
    assert "# TYPE hfproxy_open gauge\nhfproxy_open 5.0\n" in text
    assert '# TYPE hfproxy_reads_total counter\nhfproxy_reads_total{source="memory"} 6.0\n' in text


def test_processes_count_for_themselves():
    one, other = Metrics(Endpoints()), Metrics(Endpoints())
    one.count_limit("inputs")
    assert 'limit="inputs"' not in shown(other)


def test_no_series_has_a_time_of_creation():
    metrics = Metrics(Endpoints())
    metrics.count_request("infer", "200", 0.1)
    assert "_created" not in shown(metrics)
