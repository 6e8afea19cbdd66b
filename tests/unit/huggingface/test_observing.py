"""What the log tells of changes, and how little where there are many."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from proxy.ground.advice import Advice
from proxy.ground.scopes import Scope
from proxy.huggingface.observing import Observer
from proxy.huggingface.states import State
from proxy.inference.trial import is_trial
from proxy.telemetry.endpoints import Endpoints
from proxy.telemetry.storms import Storms
from tests.support.clock import Clock
from tests.support.samples import make_endpoint

ENDPOINT = make_endpoint()
PAUSED = Advice(State.PAUSED, "Resume it.", 400)
TOO_LONG = Advice(State.INPUT_TOO_LONG, "Send less.", 422)


class Told:
    def __init__(self, caplog):
        caplog.set_level(logging.INFO, "proxy")
        self.clock = Clock()
        self.minutes: list[Any] = []
        self.endpoints = Endpoints(clock=self.clock)
        storms = Storms(lambda _, call, kind, /: self.minutes.append((call, kind)))
        self.observer = Observer(self.endpoints, storms)
        self._caplog = caplog

    @property
    def lines(self):
        return [record.getMessage() for record in self._caplog.records]

    @property
    def fields(self):
        return vars(self._caplog.records[-1])

    def end_minute(self):
        minutes, self.minutes = self.minutes, []
        for call, kind in minutes:
            call(kind)

    def counted(self, state):
        return self.endpoints.of("e1", "text_embedding").usage.outcomes[state]


@pytest.fixture
def told(caplog):
    return Told(caplog)


def test_a_change_is_one_line(told):
    told.observer.succeeded(ENDPOINT)
    assert told.lines == []
    told.clock.now += 5400
    told.observer.failed(ENDPOINT, PAUSED)
    told.observer.failed(ENDPOINT, PAUSED)
    assert told.lines == [
        "provider of inference endpoint [e1] is paused now (text_embedding, before: ok for 1.5h): "
        "Resume it."
    ]
    assert told.fields["event.action"] == "provider-state-changed"
    assert told.fields["labels.state"] == "paused"
    assert told.fields["labels.state_before"] == "ok"
    assert told.fields["http.response.status_code"] == 400
    assert told.counted("paused") == 2


def test_a_first_failure_is_told_without_what_was_before(told):
    told.observer.failed(ENDPOINT, PAUSED)
    assert told.lines == [
        "provider of inference endpoint [e1] is paused now (text_embedding): Resume it."
    ]


def test_many_changes_are_a_line_a_minute(told):
    told.observer.succeeded(ENDPOINT)
    for _ in range(100):
        told.observer.failed(ENDPOINT, PAUSED)
        told.observer.succeeded(ENDPOINT)
    assert len(told.lines) == 1
    told.end_minute()
    assert told.lines[1:] == [
        "provider of inference endpoint [e1] is ok now, the last of 199 more changes within a "
        "minute (text_embedding, before: paused)"
    ]
    told.end_minute()
    assert told.minutes == []


def test_what_is_wrong_with_a_request_shows_that_the_provider_is_in_order(told):
    told.observer.failed(ENDPOINT, PAUSED)
    told.end_minute()
    told.observer.failed(ENDPOINT, TOO_LONG)
    assert told.lines[-1].endswith("is ok now (text_embedding, before: paused for 0s)")
    assert told.counted("input_too_long") == 1


def test_a_trial_is_no_state(told):
    with Scope(is_trial, True):
        told.observer.succeeded(ENDPOINT)
        told.observer.failed(ENDPOINT, PAUSED)
        told.observer.ran_late(ENDPOINT)
        told.observer.cut_off(ENDPOINT)
    assert told.lines == []
    assert told.endpoints.known() == []
    counted = {"ok": 1, "paused": 1, "timed_out": 1}
    assert told.endpoints.rest_of("text_embedding").outcomes == counted


def test_a_request_that_ran_late_is_news_where_nothing_else_is_the_matter(told):
    told.observer.failed(ENDPOINT, PAUSED)
    told.observer.ran_late(ENDPOINT)
    assert told.counted("timed_out") == 0
    told.observer.succeeded(ENDPOINT)
    told.observer.cut_off(ENDPOINT)  # the call of two who wait for it
    told.observer.ran_late(ENDPOINT)
    told.observer.ran_late(ENDPOINT)
    assert told.counted("timed_out") == 1
    (known,) = told.endpoints.known()
    assert known.state == "timed_out"


def test_who_does_not_answer_in_time_can_be_reached(told):
    told.observer.failed(ENDPOINT, Advice(State.UNREACHABLE, "Start it."))
    told.observer.ran_late(ENDPOINT)
    (known,) = told.endpoints.known()
    assert known.state == "timed_out"
