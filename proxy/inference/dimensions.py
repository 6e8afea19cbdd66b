"""The size of vectors, for endpoints that were created while their provider was starting.

No trial has found it out. The first vectors that come show it, and it is stored with the endpoint.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from proxy.ground.background import Background
from proxy.ground.errors import ProxyError
from proxy.ground.frames import forget_frames
from proxy.ground.singleflight import SingleFlight
from proxy.inference.endpoints import InferenceEndpoint, TaskType
from proxy.inference.ports import EndpointStore, Provider
from proxy.inference.trial import INPUT, with_vector
from proxy.inference.within import until
from proxy.limits.deadline import Deadline

_AGAIN: Final = 5.0  # seconds until a call that failed is made again


def lacks_dimensions(endpoint: InferenceEndpoint) -> bool:
    """Whether the size of its vectors is not known."""
    settings = endpoint.service_settings
    return endpoint.task_type is TaskType.TEXT_EMBEDDING and settings.dimensions is None


class DimensionsFinder:
    """Finds out and stores the `dimensions` that endpoints lack; one for each process."""

    def __init__(
        self,
        store: EndpointStore,
        provider: Provider,
        timeout: float,
        background: Background,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._provider = provider
        self._timeout = timeout
        self._background = background
        self._clock = clock
        self._trials: SingleFlight[str, InferenceEndpoint] = SingleFlight()
        self._failures: dict[str, tuple[float, ProxyError]] = {}
        self._noting: set[str] = set()

    async def completed(self, endpoint: InferenceEndpoint) -> InferenceEndpoint:
        """The endpoint with the size of its vectors, for which its provider is called if need be.

        Raises: ProxyError for the provider's failures, also for one a moment ago.
        """
        if not lacks_dimensions(endpoint):
            return endpoint
        return await self._trials.run(endpoint.inference_id, lambda: self._tried(endpoint))

    async def _tried(self, endpoint: InferenceEndpoint) -> InferenceEndpoint:
        inference_id = endpoint.inference_id
        at, failure = self._failures.pop(inference_id, (0.0, None))
        if failure is None or self._clock() - at > _AGAIN:
            try:
                deadline = Deadline.after(self._timeout)
                asked = endpoint.asked_anew()
                with until(deadline, inference_id):
                    (vector,) = await self._provider.embed(asked, [INPUT], deadline)
                completed = with_vector(endpoint, vector)
            except ProxyError as error:
                forget_frames(error)
                at, failure = self._clock(), error
            else:
                await self._store_size(completed)
                return completed
        self._failures[inference_id] = at, failure
        raise failure

    def note(self, endpoint: InferenceEndpoint, vectors: Sequence[Sequence[float]]) -> None:
        """Store the size of these vectors that an endpoint has made, while their caller goes on."""
        inference_id = endpoint.inference_id
        if not lacks_dimensions(endpoint) or not vectors or inference_id in self._noting:
            return
        try:
            completed = with_vector(endpoint, vectors[0])
        except ProxyError:
            return
        self._noting.add(inference_id)
        self._background.start(self._note(completed))

    async def _note(self, completed: InferenceEndpoint) -> None:
        try:
            await self._store_size(completed)
        finally:
            self._noting.discard(completed.inference_id)

    async def _store_size(self, completed: InferenceEndpoint) -> None:
        """Store the size of its vectors; if that fails, the next vectors show it again."""
        found = completed.service_settings

        def change(endpoint: InferenceEndpoint) -> InferenceEndpoint:
            if not lacks_dimensions(endpoint) or endpoint.service_settings.url != found.url:
                return endpoint
            return endpoint.with_service_settings(
                dimensions=found.dimensions, similarity=found.similarity
            )

        try:
            await self._store.update(completed.inference_id, change)
        except ProxyError as error:
            forget_frames(error)
