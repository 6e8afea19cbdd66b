"""What happens to a caller's connection when a deadline has passed."""

from __future__ import annotations

from proxy.ground.errors import StatusError
from proxy.lane.caller import CallerSide
from proxy.lane.states import ANSWER, BODY, HEAD, LINGER, NEVER, REST


def expire(caller: CallerSide) -> None:
    """Act on a deadline of the caller that has passed, or give it more time."""
    _IN_STATE[caller.state](caller)


def _head_is_late(caller: CallerSide) -> None:
    if caller.reads_head:
        caller.refuse(StatusError(408, "the request's head did not come in time"))
    else:
        caller.transport.abort()  # it was idle


def _body_is_late(caller: CallerSide) -> None:
    if caller.body_kept_pace:
        caller.await_body()
    elif caller.full:
        caller.cut()  # it would not read an error either
    else:
        caller.refuse(StatusError(408, "the request's body did not come in time"))


def _answer_is_late(caller: CallerSide) -> None:
    if caller.may_read_on:
        caller.await_answer()
    elif caller.full or caller.half_closed or caller.upstream is None:
        caller.cut()
    elif error := caller.upstream.late_answer():
        caller.refuse(error)
    else:
        caller.expect_within(NEVER)


def _rest_is_late(caller: CallerSide) -> None:
    caller.linger()


def _close_is_late(caller: CallerSide) -> None:
    if caller.may_read_on:
        caller.expect_within(caller.lane.patience.linger)
    else:
        caller.cut()


_IN_STATE = {
    HEAD: _head_is_late,
    BODY: _body_is_late,
    ANSWER: _answer_is_late,
    REST: _rest_is_late,
    LINGER: _close_is_late,
}
