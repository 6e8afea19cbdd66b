"""Which requests the semantic layer looks at; all others are forwarded as if there were none.

The raw path decides, before anything else is read, and in most cases one comparison is enough.
Source: the paths of Elasticsearch's REST specification.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from proxy.semantic.registry import Registry

_NAME: Final = r"[^/_?][^/?]*"
_END: Final = r"/?(?:\?|$)"
# What may declare a semantic field or a pipeline, whatever has been declared so far.
_DECLARES: Final = re.compile(
    rf"/(?:{_NAME}{_END}"  # create an index
    rf"|(?:{_NAME}/)?_mappings?{_END}|_mappings?/{_NAME}{_END}"
    rf"|{_NAME}/_rollover(?:/|\?|$)"
    r"|_(?:index_template|component_template|template)/"
    r"|_ingest/pipeline/)".encode()
)
# What may bring indices with such fields, none of which is here yet: from snapshots.
_BRINGS: Final = re.compile(rb"/_snapshot/[^?]*/_(?:restore|mount)/?(?:\?|$)")
# What changes what names stand for. All else that does is seen by the next look.
_CHANGES: Final = re.compile(
    rf"/(?:{_NAME}{_END}"  # delete an index
    rf"|{_NAME}/_(?:clone|split|shrink|close|open|alias|aliases)(?:/|\?|$)"
    r"|_(?:aliases?|data_stream|create_from|reindex|migration)(?:/|\?|$))".encode()
)
_WRITES: Final = (b"PUT", b"POST")
_CHANGING: Final = (b"PUT", b"POST", b"DELETE")
# First segments that name no index, and never show a document, a mapping or a search. Others show
# some: `_alias` the filters of aliases, `_tasks` the searches under way, `_ml`, `_transform` and
# `_watcher` what their own searches find.
_ELSEWHERE: Final = frozenset(
    (
        b"_analyze",
        b"_autoscaling",
        b"_cache",
        b"_capabilities",
        b"_cat",
        b"_ccr",
        b"_cluster",
        b"_connector",
        b"_dangling",
        b"_enrich",
        b"_features",
        b"_flush",
        b"_forcemerge",
        b"_health_report",
        b"_ilm",
        b"_info",
        b"_internal",
        b"_license",
        b"_logstash",
        b"_migration",
        b"_nodes",
        b"_profiling",
        b"_query_rules",
        b"_refresh",
        b"_remote",
        b"_render",
        b"_script_context",
        b"_script_language",
        b"_scripts",
        b"_searchable_snapshots",
        b"_security",
        b"_shutdown",
        b"_slm",
        b"_snapshot",
        b"_ssl",
        b"_streams",
        b"_synonyms",
        b"_text_structure",
        b"_xpack",
    )
)
# Exceptions, which show mappings or searches.
_SHOWS: Final = (b"/_cluster/state", b"/_cat/tasks", b"/_scripts/painless/_execute")


class Interceptor:
    """Says which requests are looked at, by the registry's present knowledge."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @property
    def generation(self) -> object:
        """Another object whenever an answer of `takes` may have changed."""
        return self._registry.generation

    def takes(self, method: bytes, target: bytes) -> bool:
        """Whether a request is looked at; `target` is raw."""
        snapshot = self._registry.snapshot
        if not snapshot.active:
            return method in _WRITES and (
                _DECLARES.match(target) is not None or _BRINGS.match(target) is not None
            )
        path = target.partition(b"?")[0]
        first = path[1:].partition(b"/")[0]
        if not first:
            return False
        if decoded(first) not in snapshot.plain:
            return first not in _ELSEWHERE or path.startswith(_SHOWS) or changes(method, target)
        return changes(method, target)


def changes(method: bytes, target: bytes) -> bool:
    """Whether a request may change which names lead to semantic fields."""
    if method in _WRITES and (_DECLARES.match(target) or _BRINGS.match(target)):
        return True
    return method in _CHANGING and _CHANGES.match(target) is not None


def decoded(segment: bytes) -> str:
    """A segment of a path as Elasticsearch reads it."""
    text = segment.decode("utf-8", "surrogateescape")
    return unquote(text, errors="replace") if "%" in text else text
