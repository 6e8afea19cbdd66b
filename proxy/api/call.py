"""A request that has passed the checks of the REST layer, as its handler sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from proxy.inference.endpoints import TaskType
from proxy.inference.ports import Dependents
from proxy.inference.releases import Profile
from proxy.inference.service import InferenceService
from proxy.inference.streaming import Stream
from proxy.limits.memory import PER_VALUE, reserve, wide_text_surplus
from proxy.limits.threads import offload
from proxy.rest.body import Body, as_map
from proxy.rest.request import RestRequest
from proxy.rest.responder import Responder
from proxy.xcontent.document import Document
from proxy.xcontent.values import Json

T = TypeVar("T")
Events = Stream[Json]


@dataclass(slots=True, kw_only=True)
class Call:
    """What a handler needs to know of its request, and of the process."""

    rest: RestRequest
    body: Body
    responder: Responder  # that of its answer, and of its errors
    task_type: TaskType
    inference_id: str  # empty where the route has none
    times: Mapping[str, float | None]  # query parameters, in seconds
    flags: Mapping[str, bool]
    service: InferenceService
    profile: Profile
    max_inputs: int
    fetch: Callable[[str], Awaitable[Any]]  # the upstream's own answer to GET a path, or None
    dependents: Dependents  # on endpoints
    user: str | None = None  # whose call it is, where the upstream tells
    warnings: list[str] = field(default_factory=list)  # `Warning` headers, added by the handler

    @property
    def timeout(self) -> float | None:
        """Seconds that the caller allows, if it says so."""
        return self.times.get("timeout")

    def in_time(self) -> AbstractAsyncContextManager[None]:
        """Bounds what is done within to the time that the caller allows, if it says so.

        The call to the provider is bounded besides; but a request waits elsewhere, too.
        """
        if (seconds := self.timeout) is None or seconds < 0:
            return nullcontext()
        return self._bounded(seconds)

    @asynccontextmanager
    async def _bounded(self, seconds: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise self.profile.timed_out(self.inference_id, seconds) from None

    async def body_map(self) -> Json:
        """The body as a map, empty for anything but an object. Raises: ProxyError."""
        return await self.read(as_map)

    async def read(self, convert: Callable[[Document], T]) -> T:
        """What `convert` makes of the document in the body, in a thread if that is large.

        A syntax error is kept in the document. Raises: ProxyError; MemoryShort.
        """
        data, at_once = self.body.data, self.body.quickly_read
        if len(data) <= at_once:
            self.reserve_texts()
            result, values = self._read_now(convert)
        else:
            reserve(await offload(len(data), at_once, lambda: wide_text_surplus(data)))
            work = partial(self._read_now, convert)
            result, values = await offload(len(data), at_once, work)
        reserve(values * PER_VALUE)
        return result

    def reserve_texts(self) -> None:
        """Take what the texts of a small body may need beyond its own. Raises: MemoryShort."""
        if surplus := wide_text_surplus(self.body.data):
            reserve(surplus)

    def _read_now(self, convert: Callable[[Document], T]) -> tuple[T, int]:
        """The result, and how many values the document has."""
        document = self.body.document()
        return convert(document), document.values
