"""Which requests the semantic layer looks at; all others are forwarded as if there were none.

The raw path decides, before anything else is read, and in most cases one comparison is enough.
Source: the paths of Elasticsearch's REST specification.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from proxy.semantic.registry import Registry, Snapshot
from proxy.semantic.tasks import NODE

_NAME: Final = r"[^/_?][^/?]*"
# What may declare a semantic field or a pipeline, whatever has been declared so far.
_DECLARES: Final = re.compile(
    rf"/(?:{_NAME}/?(?:\?|$)"  # create an index
    rf"|(?:{_NAME}/)?_mappings?/?(?:\?|$)|_mappings?/{_NAME}/?(?:\?|$)"
    rf"|{_NAME}/_rollover(?:/|\?|$)"
    r"|_(?:index_template|component_template|template)/"
    r"|_ingest/pipeline/)".encode()
)
_WRITES: Final = (b"PUT", b"POST")
_PIPELINES: Final = b"/_ingest/pipeline/"
# What may run a pipeline, and where any line may name one.
_INGESTS: Final = re.compile(rf"/{_NAME}/_(?:doc|create|bulk|update)(?:/|\?|$)".encode())
# What may give an index another pipeline, or take its own away.
_CHANGES: Final = re.compile(rf"/{_NAME}(?:/_settings)?/?(?:\?|$)".encode())
_BULK: Final = re.compile(rf"/{_NAME}/_bulk/?(?:\?|$)".encode())
# First segments that stand for no index and have nothing to do with one's fields.
_ELSEWHERE: Final = frozenset(
    (
        b"_cat",
        b"_cluster",
        b"_nodes",
        b"_tasks",
        b"_security",
        b"_license",
        b"_xpack",
        b"_snapshot",
        b"_ilm",
        b"_slm",
        b"_ssl",
        b"_watcher",
        b"_ml",
        b"_analyze",
        b"_aliases",
        b"_alias",
        b"_flush",
        b"_refresh",
        b"_forcemerge",
        b"_cache",
        b"_scripts",
        b"_query",
        b"_sql",
        b"_eql",
        b"_health_report",
        b"_remote",
        b"_features",
        b"_migration",
        b"_autoscaling",
        b"_logstash",
        b"_transform",
        b"_rollup",
        b"_ccr",
        b"_enrich",
    )
)
_OUR_TASKS: Final = f"/_tasks/{NODE}-".encode()


class Interceptor:
    """Says which requests are looked at, by the registry's present knowledge."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @property
    def generation(self) -> object:
        """Changes whenever an answer of `takes` may have changed."""
        return self._registry.snapshot

    def takes(self, method: bytes, target: bytes) -> bool:
        """Whether a request is looked at; `target` is raw."""
        snapshot = self._registry.snapshot
        if not snapshot.active:
            if method in _WRITES:
                return _DECLARES.match(target) is not None
            return target.startswith(_PIPELINES) and b"/_simulate" in target
        path = target.partition(b"?")[0]
        first = path[1:].partition(b"/")[0]
        if first in _ELSEWHERE or not first:
            return path.startswith(_OUR_TASKS)
        if method in _WRITES and _DECLARES.match(target) is not None:
            return True
        name = decoded(first)
        if name not in snapshot.plain:
            return True
        return bool(snapshot.pipelines.known) and _may_ingest(method, target, name, snapshot)


def _may_ingest(method: bytes, target: bytes, index: str, snapshot: Snapshot) -> bool:
    """Whether a request may run a pipeline that is partly ours, or change which one runs."""
    if method in (b"PUT", b"DELETE") and _CHANGES.match(target) is not None:
        return True
    if method not in _WRITES or _INGESTS.match(target) is None:
        return False
    if b"pipeline=" in target or _BULK.match(target) is not None:
        return True
    return index not in snapshot.pipelines.unconcerned


def decoded(segment: bytes) -> str:
    """A segment of a path as Elasticsearch reads it."""
    text = segment.decode("utf-8", "surrogateescape")
    return unquote(text) if "%" in text else text
