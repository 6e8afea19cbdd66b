from __future__ import annotations

from contextlib import ExitStack

import pytest
from multidict import CIMultiDict

from proxy.config import LimitsConfig
from proxy.errors import Rejected
from proxy.limits.calls import CallLimits


def caller(limits, address="192.0.2.1", **headers):
    return limits.caller_of(CIMultiDict(headers), address)


def test_calls_and_streams_are_refused_beyond_their_number_and_let_in_again():
    limits = CallLimits(LimitsConfig(calls=1, streams=1))
    for enter in (lambda: limits.call(b"a"), lambda: limits.stream(b"a")):
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
            stack.enter_context(limits.call(b"a"))
        with pytest.raises(Rejected) as caught, limits.call(b"a"):
            pass
        assert caught.value.limit == "calls"
        assert "[limits.calls] of one caller is [15]" in caught.value.reason
        with limits.call(b"b"), pytest.raises(Rejected), limits.call(b"b"):
            pass
    assert limits.calls == 0
    assert limits._calling == {}


def test_one_caller_cannot_have_all_streams():
    limits = CallLimits(LimitsConfig(streams=3, streams_per_caller=2))
    with limits.stream(b"a"), limits.stream(b"a"):
        with pytest.raises(Rejected) as caught, limits.stream(b"a"):
            pass
        assert caught.value.limit == "streams_per_caller"
        with limits.stream(b"b"):
            with pytest.raises(Rejected) as caught, limits.stream(b"c"):
                pass
            assert caught.value.limit == "streams"
    assert limits.streams == 0
    assert limits._callers == {}


def test_callers_are_told_apart_by_their_credentials_which_are_not_kept():
    limits = CallLimits(LimitsConfig())
    one = caller(limits, authorization="ApiKey a", X="1")
    assert one == caller(limits, "192.0.2.2", Authorization="ApiKey a", X="2")
    others = [
        caller(limits),
        caller(limits, Authorization="ApiKey b"),
        caller(limits, **{"Authorization": "ApiKey a", "es-security-runas-user": "x"}),
        caller(CallLimits(LimitsConfig()), Authorization="ApiKey a"),
    ]
    assert len({one, *others}) == 5


def test_callers_without_credentials_are_told_apart_by_where_they_come_from():
    limits = CallLimits(LimitsConfig())
    same = [
        ("192.0.2.1", "::ffff:192.0.2.1"),
        ("2001:db8::1", "2001:db8::ffff:1"),  # one network
        ("fe80::1%eth0", "fe80::2%eth1"),
        ("", ""),
    ]
    for one, other in same:
        assert caller(limits, one) == caller(limits, other, Authorization="", forwarded="for=1")
    assert len({caller(limits, one) for one, _ in same} | {caller(limits, "192.0.2.2")}) == 5
    assert caller(limits, "2001:db8::1") != caller(limits, "2001:db8:0:1::1")
