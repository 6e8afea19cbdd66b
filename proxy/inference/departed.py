"""Endpoints that another process has deleted: what this one tells of them ends, too.

The process that deletes an endpoint knows at once, but for calls that are still under way; all
others look from time to time. Else they would tell of its last state for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from proxy.ground.errors import EndpointNotFound, ProxyError, RecordRefused, StoreMissing
from proxy.ground.frames import forget_frames
from proxy.inference.ports import EndpointStore

_EVERY: Final = 60.0  # seconds
_AT_ONCE: Final = 50  # endpoints; with more of them, a round takes longer


class Departed:
    """Forgets endpoints that are in the store no more, or there for another task."""

    def __init__(
        self,
        store: EndpointStore,
        known: Callable[[], Iterable[tuple[str, str]]],
        forget: Callable[[str], None],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`known` says of which endpoints the process tells: their ids, sorted, and tasks."""
        self._store = store
        self._known = known
        self._forget = forget
        self._sleep = sleep
        self._last = ""  # the id at which the last look ended

    async def run(self) -> None:
        """Look at some of them again and again; ends when it is cancelled."""
        while True:
            await self._sleep(_EVERY)
            known = list(self._known())
            after = [one for one in known if one[0] > self._last]
            for inference_id, task in (after + known)[: min(_AT_ONCE, len(known))]:
                if not await self._look(inference_id, task):
                    break
                self._last = inference_id

    async def _look(self, inference_id: str, task: str) -> bool:
        """Whether the store can be used. One that is missing says nothing of its endpoints."""
        try:
            is_there = (await self._store.get(inference_id)).endpoint.task_type == task
        except RecordRefused:
            return True  # it is there
        except StoreMissing:
            return False
        except EndpointNotFound:
            is_there = False
        except ProxyError as error:
            forget_frames(error)
            return False
        if not is_there:
            self._forget(inference_id)
        return True
