"""Which ingest pipelines of the upstream have processors that the proxy runs.

Truth is what the upstream stores; it is read when the version of the cluster's state has risen.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from proxy.semantic.pipelines import Pipeline, read_pipeline
from proxy.semantic.ports import Upstream
from proxy.semantic.told import is_forbidden, told_by

log: Final = logging.getLogger(__name__)

_OURS: Final = "/_ingest/pipeline?filter_path=*._meta.xinf,*.on_failure"


class PipelineRegistry:
    """Reads pipelines with the proxy's own credentials."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self.is_readable = True  # as far as is known

    async def read(self) -> Mapping[str, Pipeline]:
        """Those of which the proxy runs a part, by id. Raises: UpstreamError."""
        answer = await self._upstream.ask_as_proxy("GET", _OURS)
        self._note(is_readable=not is_forbidden(answer))
        if answer.status == 404 or not self.is_readable:
            return {}
        stored = told_by(answer)
        found = (read_pipeline(pipeline_id, one) for pipeline_id, one in stored.items())
        return {one.id: one for one in found if one is not None}

    def _note(self, *, is_readable: bool) -> None:
        if self.is_readable and not is_readable:
            log.warning(
                "the proxy's own credentials lack the privilege [read_pipeline]: inference "
                "processors of ingest pipelines do not run"
            )
        self.is_readable = is_readable
