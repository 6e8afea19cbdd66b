"""Tasks as notes tell of them, and as they are shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import orjson

from proxy.semantic.taskstates import LOST_AFTER, TaskState, is_note_of_task, note_of, state_in

STATE: Final = TaskState(
    node="n",
    number=7,
    action="indices:data/write/reindex",
    description="reindex",
    status={"total": 3},
    started_at=1000.5,
    seconds=2.5,
    told_at=1003.0,
)


def test_a_note_says_all_of_a_task():
    noted = orjson.loads(orjson.dumps(STATE.noted()))
    assert state_in(noted) == STATE


def test_notes_of_other_versions_say_nothing():
    assert state_in(None) is None
    assert state_in({"node": "n"}) is None
    assert state_in({**STATE.noted(), "new": 1}) is None


def test_notes_of_tasks_are_told_apart():
    assert is_note_of_task(note_of("n:7"))
    assert not is_note_of_task("limits/e")


def test_a_note_has_only_so_many_failures_and_so_long_a_description():
    failures = [{"cause": "x" * 1000}] * 100
    noted = replace(
        STATE, description="d" * 10_000, response={"created": 1, "failures": failures}
    ).noted()
    assert 0 < len(noted["response"]["failures"]) < 17
    assert noted["response"]["created"] == 1
    assert len(noted["description"]) == 2_000


def test_a_task_is_shown_in_elasticsearchs_units():
    shown: Any = STATE.rendered()
    assert shown["completed"] is False
    assert shown["task"]["start_time_in_millis"] == 1_000_500
    assert shown["task"]["running_time_in_nanos"] == 2_500_000_000
    assert "response" not in shown
    assert "error" not in shown
    ended = replace(STATE, has_ended=True, response={"created": 1}).rendered()
    assert (ended["completed"], ended["response"]) == (True, {"created": 1})


def test_one_whose_process_is_silent_for_too_long_has_failed():
    assert STATE.seen_at(STATE.told_at + LOST_AFTER) is STATE
    lost = STATE.seen_at(STATE.told_at + LOST_AFTER + 1)
    assert lost.has_ended
    assert lost.error is not None
    assert lost.error["type"] == "node_closed_exception"
    ended = replace(STATE, has_ended=True)
    assert ended.seen_at(STATE.told_at + 1e6) is ended
