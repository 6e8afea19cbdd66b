"""Tasks of several processes that share notes; each process is a `Tasks` of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proxy.ground.errors import StatusError, StoreError
from proxy.semantic.tasks import Task, TaskMissing, Tasks
from proxy.semantic.taskstates import LOST_AFTER, note_of
from tests.support.memorynotes import MemoryNotes

ACTION = "indices:data/write/reindex"
BEAT = 0.01


@pytest.fixture
def notes() -> MemoryNotes:
    return MemoryNotes()


@asynccontextmanager
async def process(notes: MemoryNotes) -> AsyncIterator[Tasks]:
    """The tasks of a process that is stopped in the end."""
    tasks = Tasks(notes, beat=BEAT)
    async with asyncio.TaskGroup() as group:
        tasks.open(group)
        yield tasks
        tasks.close()


class Work:
    """Ends when it is told to, or cancelled."""

    def __init__(self) -> None:
        self.done = asyncio.Event()
        self.status: dict[str, Any] = {"total": 3, "created": 0}

    async def __call__(self, task: Task) -> dict[str, Any]:
        waits = [asyncio.ensure_future(self.done.wait()), asyncio.ensure_future(task.pause(60))]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for one in waits:
            one.cancel()
        return {"created": 3, "failures": []}

    async def begin(self, tasks: Tasks, *, is_behind: bool = True) -> Task:
        return await tasks.begin(
            ACTION, "reindex from [a] to [b]", lambda: self.status, self, is_behind=is_behind
        )


async def test_a_task_is_shown_by_another_process_as_soon_as_it_has_begun(notes: MemoryNotes):
    async with process(notes) as one, process(notes) as other:
        task = await Work().begin(one)
        shown = (await other.find(task.id)).rendered()
        assert shown["completed"] is False
        assert shown["task"]["status"] == {"total": 3, "created": 0}
        assert [state.id for state in await other.under_way()] == [task.id]
        assert [state.id for state in await one.under_way()] == [task.id]


async def test_its_progress_is_told_while_it_runs(notes: MemoryNotes):
    async with process(notes) as one, process(notes) as other:
        work = Work()
        task = await work.begin(one)
        work.status = {"total": 3, "created": 2}
        await notes.written(1)
        assert (await other.find(task.id)).status["created"] == 2


async def test_another_process_waits_for_its_outcome(notes: MemoryNotes):
    async with process(notes) as one, process(notes) as other:
        work = Work()
        task = await work.begin(one)
        with pytest.raises(StatusError, match="Timed out waiting for completion"):
            await other.wait_for(task.id, 0.01)
        waiting = asyncio.ensure_future(other.wait_for(task.id, 10))
        work.done.set()
        ended = (await waiting).rendered()
        assert (ended["completed"], ended["response"]["created"]) == (True, 3)
        assert await other.under_way() == []


class LaggingNotes(MemoryNotes):
    """All notes together are those of some time ago, as a search of Elasticsearch may find them."""

    def __init__(self) -> None:
        super().__init__()
        self.then: dict[str, dict[str, Any]] | None = None

    async def all(self) -> dict[str, dict[str, Any]]:
        return await super().all() if self.then is None else self.then


@pytest.mark.parametrize("is_behind", [True, False])
async def test_one_that_has_ended_is_listed_no_more_though_notes_lag(is_behind):
    notes = LaggingNotes()
    async with process(notes) as one, process(notes) as other:
        work = Work()
        task = await work.begin(one, is_behind=is_behind)
        if not is_behind:
            await notes.written(1)
        notes.then = dict(notes.kept)
        assert [state.id for state in await other.under_way()] == [task.id]
        work.done.set()
        await one.wait(task, 10)
        assert await other.under_way() == []


async def test_another_process_cancels_it(notes: MemoryNotes):
    async with process(notes) as one, process(notes) as other:
        task = await Work().begin(one)
        assert (await other.cancel_one(task.id)).info()["cancelled"] is True
        async with asyncio.timeout(10):
            await one.wait(task, 10)
        assert task.is_cancelled
        assert (await other.find(task.id)).is_cancelled


async def test_one_that_was_not_heard_of_for_long_has_failed(notes: MemoryNotes):
    async with process(notes) as one, process(notes) as other:
        work = Work()
        task = await work.begin(one)
        work.done.set()
        await one.wait(task, 10)
        note = notes.kept[note_of(task.id)]
        long_ago = time.time() - LOST_AFTER - 1
        note |= {"has_ended": False, "response": None, "told_at": long_ago}
        shown = (await other.find(task.id)).rendered()
        assert shown["completed"] is True
        assert shown["error"]["type"] == "node_closed_exception"
        assert task.node in shown["error"]["reason"]
        assert await other.under_way() == []
        assert (await other.wait_for(task.id, 0)).has_ended


async def test_those_of_a_process_that_is_stopped_have_failed_at_once(notes: MemoryNotes):
    async with process(notes) as other:
        async with process(notes) as one:
            task = await Work().begin(one)
        shown = (await other.find(task.id)).rendered()
        assert shown["error"]["type"] == "node_closed_exception"
        assert "has been stopped" in shown["error"]["reason"]


async def test_one_that_is_waited_for_leaves_nothing(notes: MemoryNotes):
    async with process(notes) as one, process(notes) as other:
        work = Work()
        task = await work.begin(one, is_behind=False)
        assert notes.kept == {}
        await notes.written(1)
        assert [state.id for state in await other.under_way()] == [task.id]
        work.done.set()
        await one.wait(task, 10)
        assert notes.kept == {}


async def test_tasks_run_though_nobody_can_be_told(notes: MemoryNotes, caplog):
    async with process(notes) as one, process(notes) as other:
        notes.failure = StoreError("The endpoint store cannot be reached")
        work = Work()
        task = await work.begin(one)
        work.done.set()
        assert (await one.wait_for(task.id, 10)).response is not None
        assert len(caplog.records) == 1
        assert await other.under_way() == []
        with pytest.raises(StoreError):
            await other.find(task.id)


async def test_what_nobody_expects_ends_its_task_alone(notes: MemoryNotes, caplog):
    async def work(task: Task) -> dict[str, Any]:
        raise KeyError("hits")

    async with process(notes) as one:
        task = await one.begin(ACTION, "", dict, work, is_behind=True)
        error = (await one.wait_for(task.id, 10)).error
        assert error is not None
        assert error["reason"] == "internal error"
        assert "KeyError" in caplog.text
        other = Work()
        begun = await other.begin(one)
        other.done.set()
        assert (await one.wait_for(begun.id, 10)).response is not None


async def test_old_outcomes_are_forgotten_and_there_are_never_many(notes: MemoryNotes):
    async with process(notes) as one:
        task = await Work().begin(one)
        running = notes.kept[note_of(task.id)]
        ended = {**running, "has_ended": True}
        for number in range(150):
            told_at = time.time() - number
            notes.kept[f"task/x:{number}"] = {
                **ended,
                "node": "x",
                "number": number,
                "told_at": told_at,
            }
        notes.kept["task/y:1"] = {**running, "node": "y", "told_at": time.time() - 7200}
        notes.kept["other"] = {"a": 1}
        await Work().begin(one)
        left = [name for name in notes.kept if name.startswith("task/x")]
        assert len(left) == 100
        assert "task/x:0" in left
        assert "task/y:1" not in notes.kept
        assert "other" in notes.kept


async def test_of_many_failures_others_see_the_first(notes: MemoryNotes):
    failures = [{"id": str(number), "cause": "x" * 1000} for number in range(1000)]

    async def work(task: Task) -> dict[str, Any]:
        return {"failures": failures}

    async with process(notes) as one, process(notes) as other:
        task = await one.begin(ACTION, "", dict, work, is_behind=True)
        await one.wait(task, 10)
        state = await other.find(task.id)
        assert state.response is not None
        assert 10 < len(state.response["failures"]) < 20
        assert (await one.find(task.id)).response == {"failures": failures}


@pytest.mark.parametrize("content", [None, {"a": 1}])
async def test_what_is_unknown_is_missing(notes: MemoryNotes, content: Any):
    if content is not None:
        notes.kept[note_of("hugging-face-proxy-00000000:1")] = content
    async with process(notes) as one:
        for use in (one.find, one.cancel_one):
            with pytest.raises(TaskMissing, match="isn't running"):
                await use("hugging-face-proxy-00000000:1")
