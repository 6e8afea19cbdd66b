"""Endpoints that are kept warm: called now and then, so that they are not scaled to zero."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from proxy.ground.background import Background
from proxy.ground.errors import EndpointNotFound, ProxyError
from proxy.ground.frames import forget_frames
from proxy.inference.endpoints import STREAMING_TASKS, InferenceEndpoint, TaskType
from proxy.inference.ports import EndpointStore, Provider
from proxy.inference.trial import INPUT, QUERY
from proxy.limits.deadline import Deadline

_MOST: Final = 1000  # endpoints; of more, those that were used last


@dataclass(slots=True)
class _Use:
    """The last call of an endpoint, by a caller or to keep it warm."""

    url: str
    at: float


class Warmth:
    """Calls embedding and rerank endpoints that callers have used, once they no longer do.

    Chat endpoints are left alone: each of their answers costs tokens.
    """

    def __init__(
        self,
        store: EndpointStore,
        provider: Provider,
        interval: float,
        timeout: float,
        background: Background,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._provider = provider
        self._interval = interval  # seconds; 0 keeps nobody warm
        self._timeout = timeout
        self._background = background
        self._clock = clock
        self._sleep = sleep
        self._uses: dict[str, _Use] = {}  # by inference id, the last one at the end

    def used(self, endpoint: InferenceEndpoint) -> None:
        """A caller has had an answer of it."""
        if not self._interval or endpoint.task_type in STREAMING_TASKS:
            return
        self._uses.pop(endpoint.inference_id, None)
        if len(self._uses) >= _MOST:
            del self._uses[next(iter(self._uses))]
        self._uses[endpoint.inference_id] = _Use(endpoint.service_settings.url, self._clock())

    async def run(self) -> None:
        """Call those that nobody has called for the interval; ends when it is cancelled."""
        while self._interval:
            await self._sleep(self._interval / 4)
            for inference_id, use in list(self._uses.items()):
                if self._clock() - use.at >= self._interval:
                    use.at = self._clock()
                    self._background.start(self._warm(inference_id, use))

    async def _warm(self, inference_id: str, use: _Use) -> None:
        try:
            endpoint = (await self._store.get(inference_id)).endpoint
            if endpoint.service_settings.url == use.url:
                await self._call(endpoint)
                return
        except EndpointNotFound:
            pass
        except (ProxyError, TimeoutError) as error:
            forget_frames(error)  # the log tells of it
            return
        if self._uses.get(inference_id) is use:
            del self._uses[inference_id]  # what was used is no more

    async def _call(self, endpoint: InferenceEndpoint) -> None:
        endpoint, deadline = endpoint.asked_anew(), Deadline.after(self._timeout)
        async with asyncio.timeout(self._timeout):
            match endpoint.task_type:
                case TaskType.TEXT_EMBEDDING:
                    await self._provider.embed(endpoint, [INPUT], deadline)
                case TaskType.SPARSE_EMBEDDING:
                    await self._provider.embed_sparse(endpoint, [INPUT], deadline)
                case _:
                    await self._provider.rerank(
                        endpoint, QUERY, [INPUT], deadline, top_n=None, return_documents=None
                    )
