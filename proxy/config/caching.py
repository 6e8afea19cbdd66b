"""The values of the section for embeddings that are kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from proxy.config.keys import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheConfig:
    """Embeddings that are kept, so that equal texts are not sent to providers again.

    Each is kept by a hash of its text, for one endpoint, until that is changed or deleted. Requests
    with the header `X-Embedding-Cache: no-cache` do without.
    """

    bytes: int = setting(
        0,
        "Memory of each process for them; 0 keeps none there",
        "`limits.memory` does not count it.",
        unit="bytes",
        may_be_zero=True,
    )
    file: Path | None = setting(
        None,
        "SQLite file for them, also for those that memory does not hold",
        "It outlasts restarts, and all processes of a machine may share it. Where it cannot be "
        "used, requests go on without, and the log says why.",
        absent="none",
    )
    file_bytes: int = setting(
        1024 * 1024 * 1024,
        "Size of that file; what has not been used for longest makes room",
        "SQLite's log beside it takes some MB more.",
        unit="bytes",
    )
