"""Answers are counted and logged by their route."""

from __future__ import annotations

import logging

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from proxy.api.counting import METRICS, CountedRequest, log_limit
from proxy.api.keys import LIMIT, ROUTE
from proxy.telemetry.endpoints import Endpoints
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.storms import Storms


@pytest.fixture
def app() -> web.Application:
    app = web.Application()
    app[METRICS] = Metrics(Endpoints())
    return app


def counted(app: web.Application) -> list[tuple[str, str]]:
    """Route and status of what has been counted."""
    return [
        (sample.labels["route"], sample.labels["status"])
        for family in app[METRICS].registry.collect()
        for sample in family.samples
        if sample.name == "hfproxy_requests_total"
        for _ in range(int(sample.value))
    ]


def counting_of(request: web.Request) -> CountedRequest:
    return CountedRequest(request, request.app[METRICS], Storms(lambda *_: None))


def test_an_answer_is_counted_by_its_route(app: web.Application):
    request = make_mocked_request("GET", "/_inference/secret-id", app=app)
    request[ROUTE] = "/_inference/{id}"
    with counting_of(request) as counting:
        counting.status = "200"
    assert counted(app) == [("/_inference/{id}", "200")]


def test_one_that_breaks_off_is_counted_too(app: web.Application):
    with counting_of(make_mocked_request("GET", "/x", app=app)):
        pass
    assert counted(app) == [("other", "broken_off")]


def test_the_log_has_the_route_and_not_the_target(
    app: web.Application, caplog: pytest.LogCaptureFixture
):
    with (
        caplog.at_level(logging.DEBUG),
        counting_of(make_mocked_request("GET", "/secret-id", app=app)) as counting,
    ):
        counting.status = "200"
    (record,) = caplog.records
    assert record.getMessage().startswith("GET other: 200 in ")
    assert "secret-id" not in caplog.text


def test_a_limit_that_was_hit_is_told(app: web.Application, caplog: pytest.LogCaptureFixture):
    request = make_mocked_request("GET", "/x", app=app)
    request[LIMIT] = "calls"
    with counting_of(request):
        pass
    assert "refused a request because of [limits.calls]" in caplog.text
    value = app[METRICS].registry.get_sample_value("hfproxy_limits_hit_total", {"limit": "calls"})
    assert value == 1


def test_many_refusals_are_one_line(caplog: pytest.LogCaptureFixture):
    log_limit("calls", 7)
    assert caplog.messages == ["refused 7 more requests within a minute because of [limits.calls]"]
