"""What callers of one endpoint share: for whom a call is made, and when it leaves its place."""

from __future__ import annotations

import asyncio
from typing import Any

from proxy.ground.lateness import Lateness
from proxy.huggingface.batching import texts_of
from proxy.huggingface.sharedcalls import Caller, Place, SharedCall, Wanted
from proxy.limits.deadline import NO_DEADLINE


def caller() -> Caller[str]:
    return Caller(NO_DEADLINE, asyncio.get_running_loop().create_future())


def call_of(*callers: Caller[str]) -> SharedCall[str]:
    (text,) = texts_of("a")
    wanted: Wanted[str] = Wanted(text, ("a", False))
    wanted.callers.update(dict.fromkeys(callers))
    call: SharedCall[str] = SharedCall(Place(Lateness(), 60.0, lambda _: None), lambda _: None)
    call.texts.append(wanted)
    call.note_callers()
    return call


async def test_a_call_is_of_use_to_those_for_whom_it_was_made():
    first, joins = caller(), caller()
    call = call_of(first)
    callers = call.texts[0].callers
    callers[joins] = None
    assert call.callers == [first, joins]
    uses = [call.is_of_use]
    del callers[first]
    uses.append(call.is_of_use)
    assert uses == [True, False]
    call.place.timer.cancel()


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


async def test_a_call_that_is_not_answered_leaves_its_place():
    left: list[Any] = []
    place = Place(Lateness(), 0.0, left.append)
    assert place.is_held
    await asyncio.sleep(0.01)
    assert left == [place]
