"""A request that has found its route, as its handler sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from proxy.inference.endpoints import TaskType
from proxy.inference.releases import DEFAULT, Profile
from proxy.inference.service import InferenceService
from proxy.limits.memory import PER_VALUE, reserve, wide_text_surplus
from proxy.limits.threads import offload
from proxy.rest.request import RestRequest
from proxy.xcontent.document import Document
from proxy.xcontent.values import Json

T = TypeVar("T")
_QUICKLY_READ: Final = 16 * 1024  # bytes
Events = AbstractAsyncContextManager[AsyncIterator[Json]]


@dataclass(slots=True, kw_only=True)
class Call:
    """A request that has found its route."""

    rest: RestRequest
    service: InferenceService
    profile: Profile = DEFAULT
    max_inputs: int = 10_000
    task_type: TaskType
    inference_id: str  # empty where the route has none
    times: dict[str, float | None] = field(default_factory=dict)  # parameters, in seconds
    flags: dict[str, bool] = field(default_factory=dict)
    fetch: Callable[[str], Awaitable[Any]]  # the upstream's own answer to GET a path, or None
    warning: str | None = None  # the `Warning` header of the answer, set by the handler

    @property
    def timeout(self) -> float | None:
        """Seconds that the caller allows, if it says so."""
        return self.times.get("timeout")

    async def document(self) -> Document:
        """The body, read; syntax errors are kept in it."""
        return await self._read(self.rest.document)

    async def body_map(self) -> Json:
        """The body as a map; anything but an object counts as an empty one."""
        return await self._read(self.rest.body_map)

    async def _read(self, read: Callable[[], T]) -> T:
        reserve(wide_text_surplus(self.rest.body))
        result = await offload(len(self.rest.body), _QUICKLY_READ, read)
        reserve(self.rest.values * PER_VALUE)
        return result
