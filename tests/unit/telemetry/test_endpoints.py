"""What is kept of each endpoint."""

from __future__ import annotations

from collections import Counter

from proxy.ground.advice import Advice
from proxy.telemetry.endpoints import OK, Change, Endpoints, Usage
from tests.support.clock import Clock

PAUSED = Advice("paused", "Resume it.", 400)
TOO_LONG = Advice("input_too_long", "Send less.", 422)


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


def test_what_ends_after_its_endpoint_is_forgotten_counts_with_the_others():
    endpoints = Endpoints()
    under_way = endpoints.of("one", "rerank").usage
    endpoints.forget("one")
    under_way.calls += 1
    assert endpoints.others()["rerank"].calls == 1
    for number in range(500):
        endpoints.of(f"n{number}", "rerank").usage.calls += 1
        endpoints.forget(f"n{number}")
    assert endpoints.others()["rerank"].calls == 501
    assert len(endpoints._gone) == 100


def test_usage_adds_up():
    one, other = Usage(calls=1, cost=0.5), Usage(calls=2, cost=0.25, characters=3)
    other.failed("paused")
    one.add(other)
    one.add(other)
    assert one == Usage(calls=5, errors=2, cost=1.0, characters=6, outcomes=Counter({"paused": 2}))
