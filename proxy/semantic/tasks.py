"""Work that goes on behind its request: listed, waited for and cancelled as Elasticsearch's tasks.

Tasks live in the process that began them, and their outcomes are kept for an hour.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.ground.errors import ProxyError, StatusError

NODE: Final = "hugging-face-proxy"
_KEPT: Final = 3600.0  # seconds that an outcome can be asked for
_MOST: Final = 100  # tasks that are remembered

Status = Callable[[], dict[str, Any]]


class TaskMissing(ProxyError):
    """There is no such task, or it has been forgotten."""

    status = 404
    type = "resource_not_found_exception"


@dataclass(slots=True, kw_only=True)
class Task:
    """Work under way, or its outcome."""

    number: int
    node: str
    action: str
    description: str
    status: Status
    started_at: float = field(default_factory=time.time)
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None
    is_cancelled: bool = False
    response: dict[str, Any] | None = None
    error: ProxyError | None = None

    @property
    def id(self) -> str:
        return f"{self.node}:{self.number}"

    def rendered(self) -> dict[str, Any]:
        """As `GET _tasks/<id>` shows it. Source: TaskResult."""
        document: dict[str, Any] = {"completed": self.ended is not None, "task": self.info()}
        if self.response is not None:
            document["response"] = self.response
        if self.error is not None:
            document["error"] = self.error.render()
        return document

    def info(self) -> dict[str, Any]:
        """As listings show it. Source: TaskInfo."""
        end = time.monotonic() if self.ended is None else self.ended
        return {
            "node": self.node,
            "id": self.number,
            "type": "transport",
            "action": self.action,
            "status": self.status(),
            "description": self.description,
            "start_time_in_millis": int(self.started_at * 1000),
            "running_time_in_nanos": int((end - self.started) * 1e9),
            "cancellable": True,
            "cancelled": self.is_cancelled,
            "headers": {},
        }


class Tasks:
    """The tasks of this process."""

    def __init__(self) -> None:
        self.node = f"{NODE}-{secrets.token_hex(4)}"
        self._tasks: dict[int, Task] = {}
        self._running: dict[int, asyncio.Task[None]] = {}
        self._last = 0
        self._group: asyncio.TaskGroup | None = None

    def open(self, group: asyncio.TaskGroup) -> None:
        """Run tasks in this group from now on."""
        self._group = group

    def close(self) -> None:
        """Cancel all that is under way."""
        for running in self._running.values():
            running.cancel()

    def begin(
        self,
        action: str,
        description: str,
        status: Status,
        work: Callable[[Task], Awaitable[dict[str, Any]]],
    ) -> Task:
        """Have `work` done from now on; it looks at its task to see whether it is cancelled."""
        assert self._group is not None, "tasks are not open"
        self._forget()
        self._last += 1
        task = Task(
            number=self._last,
            node=self.node,
            action=action,
            description=description,
            status=status,
        )
        self._tasks[task.number] = task
        self._running[task.number] = self._group.create_task(self._run(task, work))
        return task

    async def _run(self, task: Task, work: Callable[[Task], Awaitable[dict[str, Any]]]) -> None:
        try:
            task.response = await work(task)
        except ProxyError as error:
            task.error = error
        finally:
            task.ended = time.monotonic()
            del self._running[task.number]

    @staticmethod
    def is_ours(task_id: str) -> bool:
        """Whether it is a task of a proxy, this one or another, and not of the upstream."""
        return task_id.startswith(f"{NODE}-")

    def find(self, task_id: str) -> Task:
        """Raises: TaskMissing."""
        node, _, number = task_id.rpartition(":")
        task = self._tasks.get(int(number)) if number.isdecimal() else None
        if task is None or node != self.node:
            raise TaskMissing(f"task [{task_id}] isn't running and hasn't stored its results")
        return task

    async def wait(self, task: Task, seconds: float) -> None:
        """Until the task has ended. Raises: StatusError when it takes longer."""
        running = self._running.get(task.number)
        if running is not None:
            await asyncio.wait([running], timeout=seconds)
            if task.ended is None:
                raise StatusError(500, f"Timed out waiting for completion of [{task.id}]")

    def cancel(self, task: Task) -> None:
        """Have it end as soon as what it does just now is done."""
        task.is_cancelled = True

    def under_way(self) -> list[Task]:
        """Those that have not ended."""
        return [self._tasks[number] for number in self._running]

    def _forget(self) -> None:
        now = time.monotonic()
        for number, task in list(self._tasks.items()):
            if task.ended is not None and (now - task.ended > _KEPT or len(self._tasks) >= _MOST):
                del self._tasks[number]
