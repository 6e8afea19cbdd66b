"""What the upstream can do itself, found out by asking it for something small."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any, Final

import orjson

from proxy.semantic.ports import Upstream

_BELIEVED: Final = 60.0  # seconds; a licence may come and go
_NOTHING: Final[dict[str, Any]] = {"standard": {"query": {"match_none": {}}}}
_FUSION: Final = {"rrf": {"retrievers": [_NOTHING, _NOTHING]}}


class Abilities:
    """Knows for a while what it has asked."""

    def __init__(self, upstream: Upstream, clock: Callable[[], float] = monotonic) -> None:
        self._upstream = upstream
        self._clock = clock
        self._fuses: tuple[float, bool] | None = None

    async def can_fuse(self) -> bool:
        """Whether it evaluates `rrf`, and so its siblings, which come with the same licence.

        Raises: UpstreamError.
        """
        now = self._clock()
        if self._fuses is None or now - self._fuses[0] > _BELIEVED:
            self._fuses = (now, await self._answers({"size": 0, "retriever": _FUSION}))
        return self._fuses[1]

    async def _answers(self, search: dict[str, Any]) -> bool:
        target = "/_search?filter_path=took&expand_wildcards=none"
        answer = await self._upstream.ask_as_proxy("POST", target, orjson.dumps(search))
        return answer.status == 200
