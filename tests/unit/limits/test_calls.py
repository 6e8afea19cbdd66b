from __future__ import annotations

from contextlib import ExitStack

import pytest

from proxy.config import LimitsConfig
from proxy.ground.errors import Rejected
from proxy.limits.calls import CallLimits, caller_of

A = ("user", "a")


def test_calls_and_streams_are_refused_beyond_their_number_and_let_in_again():
    limits = CallLimits(LimitsConfig(calls=1, streams=1))
    for enter in (lambda: limits.call(A), lambda: limits.stream(A)):
        with enter():
            with pytest.raises(Rejected) as caught, enter():
                pass
            assert caught.value.envelope()["status"] == 429
            assert caught.value.envelope()["error"]["type"] == "es_rejected_execution_exception"
            assert dict(caught.value.headers) == {"Retry-After": "1"}
        with enter():
            pass


def test_one_caller_cannot_have_all_calls():
    limits = CallLimits(LimitsConfig(calls=16))
    with ExitStack() as stack:
        for _ in range(15):
            stack.enter_context(limits.call(A))
        with pytest.raises(Rejected) as caught, limits.call(A):
            pass
        assert caught.value.limit == "calls"
        assert "[limits.calls] of one caller is [15]" in caught.value.reason
        with limits.call(("user", "b")), pytest.raises(Rejected), limits.call(("user", "b")):
            pass
    assert limits.calls == 0
    assert limits._calls.of_callers == {}


def test_one_caller_cannot_have_all_streams():
    limits = CallLimits(LimitsConfig(streams=3, streams_per_caller=2))
    with limits.stream(A), limits.stream(A):
        with pytest.raises(Rejected) as caught, limits.stream(A):
            pass
        assert caught.value.limit == "streams_per_caller"
        with limits.stream(("user", "b")):
            with pytest.raises(Rejected) as caught, limits.stream(("user", "c")):
                pass
            assert caught.value.limit == "streams"
    assert limits.streams == 0
    assert limits._streams.of_callers == {}


def test_callers_are_told_apart_by_the_user_that_the_upstream_named():
    assert caller_of("a", "192.0.2.1") == caller_of("a", "192.0.2.2")
    named = [caller_of("a", ""), caller_of("b", ""), caller_of("192.0.2.1", "192.0.2.1")]
    assert len({*named, caller_of(None, "192.0.2.1")}) == 4


def test_callers_without_credentials_are_told_apart_by_where_they_come_from():
    same = [
        ("192.0.2.1", "::ffff:192.0.2.1"),
        ("2001:db8::1", "2001:db8::ffff:1"),  # one network
        ("fe80::1%eth0", "fe80::2%eth1"),
        ("", ""),
    ]
    for one, other in same:
        assert caller_of(None, one) == caller_of(None, other)
    assert len({caller_of(None, one) for one in ["192.0.2.2", *(one for one, _ in same)]}) == 5
    assert caller_of(None, "2001:db8::1") != caller_of(None, "2001:db8:0:1::1")
