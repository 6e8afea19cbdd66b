"""What callers of one endpoint share: for whom a call is made, and when it is late."""

from __future__ import annotations

import asyncio
from typing import Any

from proxy.ground.lateness import Lateness
from proxy.huggingface.batching import texts_of
from proxy.huggingface.sharedcalls import Call, Caller, SharedCall, Wanted
from proxy.limits.deadline import NO_DEADLINE


def caller() -> Caller[str]:
    return Caller(NO_DEADLINE, asyncio.get_running_loop().create_future())


def call_of(*callers: Caller[str]) -> SharedCall[str]:
    (text,) = texts_of(["a"])
    wanted: Wanted[str] = Wanted(text, ("a", False))
    wanted.callers.update(dict.fromkeys(callers))
    call: SharedCall[str] = SharedCall(lambda _: None)
    call.add(wanted)
    call.begin(60.0, lambda _: None)
    return call


async def test_a_call_is_of_use_to_those_for_whom_it_was_made():
    first, joins = caller(), caller()
    call = call_of(first)
    (wanted,) = call.texts
    joined = [wanted.is_joined]
    wanted.callers[joins] = None
    joined.append(wanted.is_joined)
    assert joined == [False, True]
    assert call.callers == [first, joins]
    assert (first.calls, joins.calls) == ({call}, set())
    uses = [call.is_of_use]
    del wanted.callers[first]
    uses.append(call.is_of_use)
    assert uses == [True, False]
    call.end()
    assert first.calls == set()


async def test_a_text_is_in_its_latest_call():
    first = call_of(caller())
    second: Call[str] = Call(Lateness())
    second.add(first.texts[0])
    assert first.own(first.texts) == []
    assert second.own(first.texts) == second.texts
    first.end()


async def test_a_caller_is_done_with_its_last_result():
    one = caller()
    wanted: list[Wanted[str]] = [Wanted(text, (text.text, False)) for text in texts_of("ab")]
    one.missing = 2
    one.take(wanted[0], "A")
    assert one.missing == 1
    one.take(wanted[1], "B")
    assert one.done.done()
    one.fail(ValueError())  # too late
    assert one.done.exception() is None


async def test_a_call_that_is_not_answered_is_late():
    late: list[Any] = []
    call: Call[str] = Call(Lateness())
    call.begin(0.0, late.append)
    await asyncio.sleep(0.01)
    assert late == [call]
