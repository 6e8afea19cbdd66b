"""An endpoint store in memory, for tests of what uses one."""

from __future__ import annotations

import asyncio

from proxy.ground.errors import EndpointAlreadyExists, EndpointNotFound
from proxy.inference.endpoints import InferenceEndpoint, TaskType
from proxy.inference.ports import Change, Known, Listing


class MemoryStore:
    """An EndpointStore that counts its reads, and fails or waits when told to."""

    def __init__(self, *endpoints: InferenceEndpoint) -> None:
        self.endpoints = {endpoint.inference_id: endpoint for endpoint in endpoints}
        self.reads = 0
        self.stale = False  # whether it answers as if from a cache
        self.failure: Exception | None = None  # that every call raises
        self.gate: asyncio.Event | None = None  # that every call waits for

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def create(self, endpoint: InferenceEndpoint) -> None:
        await self._pass()
        if endpoint.inference_id in self.endpoints:
            raise EndpointAlreadyExists(endpoint.inference_id)
        self.endpoints[endpoint.inference_id] = endpoint

    async def get(self, inference_id: str) -> Known:
        self.reads += 1
        found = self.endpoints.get(inference_id)  # as it is when the call begins
        await self._pass()
        if found is None:
            raise EndpointNotFound(inference_id)
        return Known(found, self.stale)

    async def find(self, task_type: TaskType | None = None) -> Listing:
        await self._pass()
        found = sorted(self.endpoints.items())
        return Listing([one for _, one in found if task_type in (None, one.task_type)])

    async def check(self) -> str | None:
        await self._pass()
        return None

    async def update(self, inference_id: str, change: Change) -> InferenceEndpoint:
        await self._pass()
        if inference_id not in self.endpoints:
            raise EndpointNotFound(inference_id)
        self.endpoints[inference_id] = change(self.endpoints[inference_id])
        return self.endpoints[inference_id]

    async def delete(self, inference_id: str) -> None:
        await self._pass()
        if self.endpoints.pop(inference_id, None) is None:
            raise EndpointNotFound(inference_id)

    async def _pass(self) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
