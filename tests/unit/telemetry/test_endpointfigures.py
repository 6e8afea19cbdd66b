"""What is kept of endpoints, shown as figures."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from proxy.config.prices import Prices
from proxy.ground.advice import Advice
from proxy.telemetry.endpointfigures import EndpointFigures
from proxy.telemetry.endpoints import Endpoints, Tokens

PAUSED = Advice("paused", "Resume it.", 400)
TOO_LONG = Advice("input_too_long", "Send less.", 422)


def figures(endpoints: Endpoints) -> list[str]:
    """The samples that are not 0."""
    registry = CollectorRegistry()
    registry.register(EndpointFigures(endpoints, "x"))
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if not line.startswith("#") and not line.endswith(" 0.0")]


def test_no_counter_goes_back_whoever_is_forgotten():
    endpoints = Endpoints(named=1, most=2)
    for name in ("a", "b", "c", "b", "d"):
        usage = endpoints.of(name, "rerank").usage
        usage.calls += 1
        usage.queue_seconds += 0.5
    shown = figures(endpoints)
    assert 'x_endpoint_calls_total{endpoint="_others",task="rerank"} 4.0' in shown
    assert 'x_endpoint_calls_total{endpoint="d",task="rerank"} 1.0' in shown  # a's name is free
    assert 'x_endpoint_queue_seconds_total{endpoint="_others",task="rerank"} 2.0' in shown


def test_only_so_many_have_a_name_in_figures():
    endpoints = Endpoints(named=3)
    for n in range(500):
        endpoints.of(f"id-{n}", "rerank").usage.calls += 1
    shown = figures(endpoints)
    assert 'x_endpoint_calls_total{endpoint="_others",task="rerank"} 497.0' in shown
    assert len(shown) == 4 + 3
    assert 'x_endpoint_state{endpoint="id-0",state="unknown",task="rerank"} 1.0' in shown
    assert figures(Endpoints(named=0)) == []


def test_who_has_another_model_is_shown():
    endpoints = Endpoints()
    endpoints.of("a", "text_embedding")
    endpoints.of("b", "text_embedding").has_other_model = True
    shown = [line for line in figures(endpoints) if "other_model" in line]
    assert shown == ['x_endpoint_other_model{endpoint="b",task="text_embedding"} 1.0']


def test_tokens_have_a_cost_where_there_is_a_price():
    endpoints = Endpoints(prices=Prices(["chat=1/3", "e-*=0.5"]))
    for name in ("chat", "e-1", "free"):
        usage = endpoints.of(name, "completion").usage
        endpoints.count_tokens(name, usage, Tokens(1_000_000, 2_000_000))
    costs = {one.inference_id: one.usage.cost for one in endpoints.known()}
    assert costs == {"chat": pytest.approx(7), "e-1": pytest.approx(1.5), "free": 0}
    shown = figures(endpoints)
    assert 'x_endpoint_cost_total{endpoint="chat",task="completion"} 7.0' in shown
    assert 'x_endpoint_tokens_total{endpoint="free",kind="output",task="completion"} 2e+06' in shown
    assert not any("cost" in line for line in figures(Endpoints()))


def test_outcomes_are_counted_by_task_whosever_they_are():
    endpoints = Endpoints(named=1)
    for name in ("a", "b"):
        endpoints.failed(endpoints.of(name, "rerank"), PAUSED, "paused")
        endpoints.succeeded(endpoints.of(name, "rerank"))
    endpoints.rest_of("rerank").failed("paused")
    shown = figures(endpoints)
    assert 'x_provider_outcomes_total{state="paused",task="rerank"} 3.0' in shown
    assert 'x_provider_outcomes_total{state="ok",task="rerank"} 2.0' in shown
