"""What is kept of each endpoint, and how it is shown as figures."""

from __future__ import annotations

from collections import Counter

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from proxy.config.prices import Prices
from proxy.ground.advice import Advice
from proxy.telemetry.endpointfigures import EndpointFigures
from proxy.telemetry.endpoints import OK, Change, Endpoints, Tokens, Usage
from tests.support.clock import Clock

PAUSED = Advice("paused", "Resume it.", 400)
TOO_LONG = Advice("input_too_long", "Send less.", 422)


def figures(endpoints: Endpoints) -> list[str]:
    """The samples that are not 0."""
    registry = CollectorRegistry()
    registry.register(EndpointFigures(endpoints, "x"))
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if not line.startswith("#") and not line.endswith(" 0.0")]


def test_a_state_has_a_beginning_and_changes_are_told():
    clock = Clock()
    clock.now = 1000.0
    endpoints = Endpoints(clock=clock)
    one = endpoints.of("one", "rerank")
    assert (one.state, one.since, one.last_call) == ("unknown", 0, 0)
    assert endpoints.succeeded(one) is None
    clock.now = 1005.0
    assert endpoints.succeeded(one) is None
    assert (one.state, one.since, one.last_call) == (OK, 1000.0, 1005.0)
    clock.now = 1010.0
    assert endpoints.failed(one, PAUSED, "paused") == Change(OK, 10.0)
    clock.now = 1020.0
    assert endpoints.failed(one, PAUSED, "paused") is None
    assert endpoints.failed(one, TOO_LONG, OK) == Change("paused", 10.0)
    assert one.last_error is not None
    assert (one.last_error.advice, one.last_error.at) == (TOO_LONG, 1020.0)
    assert one.usage.outcomes == {OK: 2, "paused": 2, "input_too_long": 1}
    assert one.usage.errors == 3
    assert endpoints.of("one", "rerank") is one


def test_a_failure_is_a_change_where_nothing_was_known():
    endpoints = Endpoints()
    change = endpoints.failed(endpoints.of("one", "rerank"), PAUSED, "paused")
    assert change is not None
    assert change.before == "unknown"


def test_only_so_many_are_known_and_what_others_used_is_added_up():
    endpoints = Endpoints(most=2)
    for n, name in enumerate(("one", "two", "one", "three")):  # `two` has to go
        endpoints.of(name, "rerank").usage.calls += 10**n
    assert [one.inference_id for one in endpoints.known()] == ["one", "three"]
    assert endpoints.others()["rerank"].calls == 10
    endpoints.of("one", "completion").usage.calls += 5  # created anew
    assert endpoints.others()["rerank"].calls == 111
    endpoints.forget("nobody")


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


def test_usage_adds_up():
    one, other = Usage(calls=1, cost=0.5), Usage(calls=2, cost=0.25, characters=3)
    other.failed("paused")
    one.add(other)
    one.add(other)
    assert one == Usage(calls=5, errors=2, cost=1.0, characters=6, outcomes=Counter({"paused": 2}))


def test_outcomes_are_counted_by_task_whosever_they_are():
    endpoints = Endpoints(named=1)
    for name in ("a", "b"):
        endpoints.failed(endpoints.of(name, "rerank"), PAUSED, "paused")
        endpoints.succeeded(endpoints.of(name, "rerank"))
    endpoints.rest_of("rerank").failed("paused")
    shown = figures(endpoints)
    assert 'x_provider_outcomes_total{state="paused",task="rerank"} 3.0' in shown
    assert 'x_provider_outcomes_total{state="ok",task="rerank"} 2.0' in shown
