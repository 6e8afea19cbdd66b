"""Which requests are looked at for the sake of pipelines, where no semantic field is concerned."""

from __future__ import annotations

import re
from typing import Final

from proxy.semantic.registry import Snapshot
from proxy.semantic.targets import WriteTarget

_NAME: Final = r"[^/_?][^/?]*"
_PIPELINES: Final = b"/_ingest/pipeline/"
# What may run a pipeline, and where any line may name one.
_INGESTS: Final = re.compile(
    rf"/{_NAME}/_(?:doc|create|bulk|update|update_by_query)(?:/|\?|$)".encode()
)
_BULK: Final = re.compile(rf"/{_NAME}/_bulk/?(?:\?|$)".encode())


def tries_out(target: bytes) -> bool:
    """Whether a request may try out a pipeline that is in its body."""
    return target.startswith(_PIPELINES) and b"/_simulate" in target


def may_ingest(method: bytes, target: bytes, index: str, snapshot: Snapshot) -> bool:
    """Whether a request may run a pipeline that is partly ours."""
    if not snapshot.pipelines:
        return False
    if method not in (b"PUT", b"POST") or _INGESTS.match(target) is None:
        return False
    if b"pipeline=" in target or _BULK.match(target) is not None:
        return True
    known = snapshot.written.get(index)
    return not isinstance(known, WriteTarget) or known.pipelines.concern(snapshot.pipelines)
