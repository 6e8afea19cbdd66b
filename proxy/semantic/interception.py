"""Which requests the semantic layer looks at; all others are forwarded as if there were none.

The raw path decides, before anything else is read, and in most cases one comparison is enough.
Source: the paths of Elasticsearch's REST specification.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from proxy.semantic.ingest.interception import may_ingest, tries_out
from proxy.semantic.registry import Registry

_NAME: Final = r"[^/_?][^/?]*"
# What may declare a semantic field or a pipeline, whatever has been declared so far.
_DECLARES: Final = re.compile(
    rf"/(?:{_NAME}/?(?:\?|$)"  # create an index
    rf"|(?:{_NAME}/)?_mappings?/?(?:\?|$)|_mappings?/{_NAME}/?(?:\?|$)"
    rf"|{_NAME}/_rollover(?:/|\?|$)"
    r"|_(?:index_template|component_template|template)/"
    rf"|_data_stream/{_NAME}/_mappings/?(?:\?|$)"
    r"|_ingest/pipeline/)".encode()
)
# What searches, or holds a query.
_SEARCHES: Final = re.compile(
    rb"/(?:[^/?]+/)?_(?:m?search(?:/template)?|async_search|count|validate/query|explain/[^/?]+"
    rb"|rank_eval|delete_by_query|update_by_query)/?(?:\?|$)"
)
# What stands in a search that Elasticsearch without its inference plugin does not know. Letters of
# these names may be escaped.
_NAMED: Final = re.compile(
    rb'"semantic"|query_vector_builder|text_similarity_reranker|"rrf"|"linear"|\\u00[4-7]'
)
_IN_URL: Final = re.compile(rb"[?&]source=[^&]*(?:semantic|query_vector_builder|rrf|linear)")
# Bodies in which these names look otherwise.
_UNREADABLE: Final = re.compile(
    rb"(?i)\r\n(?:content-encoding:|content-type:[^\r]*(?:yaml|cbor|smile))"
)
_WRITES: Final = (b"PUT", b"POST")
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
# Exceptions, which show mappings, fields or searches.
_SHOWS: Final = (b"/_cluster/state", b"/_nodes", b"/_tasks", b"/_alias")


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
            if b"source=" in target and _SEARCHES.match(target) and _IN_URL.search(target):
                return True
            if method in _WRITES:
                return _DECLARES.match(target) is not None
            return tries_out(target)
        path = target.partition(b"?")[0]
        first = path[1:].partition(b"/")[0]
        if not first or (first in _ELSEWHERE and not path.startswith(_SHOWS)):
            return False
        if method in _WRITES and _DECLARES.match(target) is not None:
            return True
        name = decoded(first)
        return name not in snapshot.plain or may_ingest(method, target, name, snapshot)

    def looks_into(self, method: bytes, target: bytes) -> bool:
        """Whether the body of a request that is not taken may say otherwise."""
        return _SEARCHES.match(target) is not None

    def takes_body(self, head: bytes, body: bytes) -> bool:
        """Whether a request into which we look is taken after all."""
        return _NAMED.search(body) is not None or _UNREADABLE.search(head) is not None


def decoded(segment: bytes) -> str:
    """A segment of a path as Elasticsearch reads it."""
    text = segment.decode("utf-8", "surrogateescape")
    return unquote(text) if "%" in text else text
