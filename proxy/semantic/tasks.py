"""Work that outlasts its request: listed, waited for and cancelled like Elasticsearch's tasks.

A task is run by the process that began it; notes in the store tell the other proxies of it.
Outcomes are kept for an hour.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.ground.errors import ProxyError, StatusError, StoreError
from proxy.inference.ports import Notes
from proxy.rest.parameters import whole_number
from proxy.semantic.taskstates import NodeGone, TaskState, is_note_of_task, note_of, state_in

NODE: Final = "hugging-face-proxy"
BEAT: Final = 2.0  # seconds between two words of a task
_POLL: Final = 0.5  # seconds between two looks at a task of another process
_KEPT: Final = 3600.0  # seconds that an outcome can be asked for
_MOST: Final = 100  # tasks that are remembered

log: Final = logging.getLogger(__name__)

Status = Callable[[], dict[str, Any]]


class TaskMissing(ProxyError):
    """There is no such task, or it has been forgotten."""

    status = 404
    type = "resource_not_found_exception"


@dataclass(slots=True, kw_only=True)
class Task:
    """Work under way in this process, or its outcome."""

    number: int
    node: str
    action: str
    description: str
    status: Status
    is_behind: bool  # whether its request does not wait for it
    started_at: float = field(default_factory=time.time)
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None
    is_noted: bool = False
    response: dict[str, Any] | None = None
    error: ProxyError | None = None
    _cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def id(self) -> str:
        return f"{self.node}:{self.number}"

    @property
    def is_cancelled(self) -> bool:
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Have it end as soon as what it does just now is done."""
        self._cancelled.set()

    async def pause(self, seconds: float) -> None:
        """Wait for so long, or until it is cancelled."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._cancelled.wait()

    def state(self) -> TaskState:
        """As it is now."""
        end = time.monotonic() if self.ended is None else self.ended
        return TaskState(
            node=self.node,
            number=self.number,
            action=self.action,
            description=self.description,
            status=self.status(),
            started_at=self.started_at,
            seconds=end - self.started,
            told_at=time.time(),
            is_cancelled=self.is_cancelled,
            has_ended=self.ended is not None,
            response=self.response,
            error=None if self.error is None else self.error.render(),
        )


Work = Callable[[Task], Awaitable[dict[str, Any]]]


class Tasks:
    """The tasks of this process, and what is known of those of others."""

    def __init__(self, notes: Notes, *, beat: float = BEAT) -> None:
        self.node = f"{NODE}-{secrets.token_hex(4)}"
        self._notes = notes
        self._beat = beat
        self._tasks: dict[int, Task] = {}
        self._running: dict[int, asyncio.Task[None]] = {}
        self._last = 0
        self._group: asyncio.TaskGroup | None = None
        self._telling: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()  # of whoever writes notes
        self._problem: str | None = None  # with the notes

    def open(self, group: asyncio.TaskGroup) -> None:
        """Run tasks in this group from now on."""
        self._group = group

    def close(self) -> None:
        """Cancel all that is under way."""
        for running in self._running.values():
            running.cancel()
        if self._telling is not None:
            self._telling.cancel()

    @staticmethod
    def is_ours(task_id: str) -> bool:
        """Whether it is a task of a proxy, this one or another, and not of the upstream."""
        return task_id.startswith(f"{NODE}-")

    # Those of this process

    async def begin(
        self, action: str, description: str, status: Status, work: Work, *, is_behind: bool
    ) -> Task:
        """Have `work` done from now on; it looks at its task to see whether it is cancelled.

        One that its request does not wait for is known to other proxies when this returns.
        """
        assert self._group is not None, "tasks are not open"
        self._forget()
        self._last += 1
        task = Task(
            number=self._last,
            node=self.node,
            action=action,
            description=description,
            status=status,
            is_behind=is_behind,
        )
        self._tasks[task.number] = task
        self._running[task.number] = self._group.create_task(self._run(task, work))
        if self._telling is None or self._telling.done():
            self._telling = self._group.create_task(self._tell())
        if is_behind:
            await self._tidy()
            await self._note(task)
        return task

    async def _run(self, task: Task, work: Work) -> None:
        doing = asyncio.ensure_future(work(task))
        try:
            await asyncio.wait([doing])
            task.response, task.error = _outcome(doing)
        except asyncio.CancelledError:
            doing.cancel()
            await asyncio.wait([doing])
            task.error = NodeGone(f"the proxy that ran task [{task.id}] has been stopped")
            raise
        finally:
            task.ended = time.monotonic()
            del self._running[task.number]
            if task.is_behind:
                await self._note(task)
            elif task.is_noted:
                await self._take_back([task.id])

    async def wait(self, task: Task, seconds: float) -> None:
        """Until the task has ended. Raises: StatusError when it takes longer."""
        running = self._running.get(task.number)
        if running is not None:
            await asyncio.wait([running], timeout=seconds)
            if task.ended is None:
                raise _late(task.id)

    def _own(self, task_id: str) -> Task | None:
        node, _, number = task_id.rpartition(":")
        own = whole_number(number) if node == self.node else None
        return None if own is None else self._tasks.get(own)

    def _forget(self) -> None:
        now = time.monotonic()
        for number, task in list(self._tasks.items()):
            if task.ended is not None and (now - task.ended > _KEPT or len(self._tasks) >= _MOST):
                del self._tasks[number]

    # Those of all proxies

    async def find(self, task_id: str) -> TaskState:
        """Raises: TaskMissing; StoreError."""
        own = self._own(task_id)
        found = state_in(await self._notes.read(note_of(task_id))) if own is None else own.state()
        if found is None:
            raise _missing(task_id)
        return found.seen_at(time.time())

    async def wait_for(self, task_id: str, seconds: float) -> TaskState:
        """The task once it has ended. Raises: as `find`; StatusError when it takes longer."""
        if (own := self._own(task_id)) is not None:
            await self.wait(own, seconds)
            return own.state()
        deadline = time.monotonic() + seconds
        while not (found := await self.find(task_id)).has_ended:
            if (left := deadline - time.monotonic()) <= 0:
                raise _late(task_id)
            await asyncio.sleep(min(_POLL, left))
        return found

    async def cancel_one(self, task_id: str) -> TaskState:
        """The task, which ends as soon as its process has taken note. Raises: as `find`."""
        if (own := self._own(task_id)) is not None:
            own.cancel()
            return own.state()
        changed = await self._notes.change(
            note_of(task_id), lambda there: {**there, "is_cancelled": True}
        )
        found = state_in(changed)
        if found is None:
            raise _missing(task_id)
        return found.seen_at(time.time())

    async def under_way(self) -> list[TaskState]:
        """Those that have not ended."""
        own = [self._tasks[number].state() for number in self._running]
        others = [one for one in await self._told() if one.node != self.node and not one.has_ended]
        return own + [one for one in others if not await self._has_ended_since(one.id)]

    async def _has_ended_since(self, task_id: str) -> bool:
        """Whether it has, though all notes together, which may lag a moment, say otherwise."""
        try:
            found = state_in(await self._notes.read(note_of(task_id)))
        except StoreError as error:
            self._report(error)
            return False
        return found is None or found.has_ended

    async def _told(self) -> list[TaskState]:
        """What all processes have told; nothing where the notes cannot be read."""
        try:
            found = await self._notes.all()
        except StoreError as error:
            self._report(error)
            return []
        now = time.time()
        states = [state_in(content) for name, content in found.items() if is_note_of_task(name)]
        return [one.seen_at(now) for one in states if one is not None]

    # Telling others

    async def _tell(self) -> None:
        """Renew the notes, as long as anything is under way."""
        while self._running:
            await asyncio.sleep(self._beat)
            for number in list(self._running):
                if number in self._running:
                    await self._note(self._tasks[number])

    async def _note(self, task: Task) -> None:
        """Tell of a task as it is, and take note if somebody has cancelled it."""
        name = note_of(task.id)
        async with self._turn:
            content = task.state().noted()

            def renewed(there: dict[str, Any]) -> dict[str, Any]:
                cancelled = task.is_cancelled or there.get("is_cancelled") is True
                return {**content, "is_cancelled": cancelled}

            try:
                kept = await self._notes.change(name, renewed) if task.is_noted else None
                if kept is None:
                    await self._notes.write(name, content)
                    task.is_noted = True
                elif kept["is_cancelled"]:
                    task.cancel()
                self._problem = None
            except StoreError as error:
                self._report(error)

    async def _tidy(self) -> None:
        """Take back notes of tasks that ended long ago, or are too many."""
        now = time.time()
        ended = sorted(
            (one for one in await self._told() if one.has_ended), key=lambda one: one.told_at
        )
        excess = max(0, len(ended) - _MOST)
        old = [one for place, one in enumerate(ended) if place < excess or _is_old(one, now)]
        await self._take_back(one.id for one in old)

    async def _take_back(self, task_ids: Iterable[str]) -> None:
        async with self._turn:
            try:
                for task_id in task_ids:
                    await self._notes.delete(note_of(task_id))
            except StoreError as error:
                self._report(error)

    def _report(self, error: StoreError) -> None:
        if error.reason != self._problem:
            self._problem = error.reason
            log.warning("other proxies cannot be told of tasks, nor asked: %s", error.reason)


def _outcome(
    done: asyncio.Future[dict[str, Any]],
) -> tuple[dict[str, Any] | None, ProxyError | None]:
    """What work has returned, or its error; an unexpected one must not end other tasks, too."""
    match done.exception():
        case None:
            return done.result(), None
        case ProxyError() as error:
            return None, error
        case unexpected:
            log.error("unhandled in a task", exc_info=unexpected)
            return None, ProxyError("internal error")


def _is_old(state: TaskState, now: float) -> bool:
    return now - state.told_at > _KEPT


def _missing(task_id: str) -> TaskMissing:
    return TaskMissing(f"task [{task_id}] isn't running and hasn't stored its results")


def _late(task_id: str) -> StatusError:
    return StatusError(500, f"Timed out waiting for completion of [{task_id}]")
