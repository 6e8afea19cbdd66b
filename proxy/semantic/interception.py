"""Which requests the semantic layer looks at; all others are forwarded as if there were none.

The raw path decides, before anything else is read, and in most cases one comparison is enough.
Source: the paths of Elasticsearch's REST specification.
"""

from __future__ import annotations

import re
from typing import Final

from proxy.semantic.expressions import decoded
from proxy.semantic.ingest.interception import may_ingest, tries_out
from proxy.semantic.inparts import is_in_parts
from proxy.semantic.registry import Registry
from proxy.semantic.tasks import NODE
from proxy.semantic.upstreamrelease import UpstreamRelease

# What may declare a semantic field or a pipeline, whatever has been declared so far: the segment
# behind an index's name, b"" for none, and first segments that are no name.
_DECLARING: Final = frozenset((b"", b"_mapping", b"_mappings", b"_rollover"))
_DECLARING_ELSEWHERE: Final = frozenset(
    (
        b"_component_template",
        b"_data_stream",
        b"_index_template",
        b"_ingest",
        b"_mapping",
        b"_mappings",
        b"_template",
    )
)
# What changes, too, which names lead to such fields, or which pipelines run. All else that does is
# seen by the next look.
_CHANGING: Final = _DECLARING | {
    b"_alias",
    b"_aliases",
    b"_clone",
    b"_close",
    b"_open",
    b"_settings",
    b"_shrink",
    b"_split",
}
_CHANGING_ELSEWHERE: Final = _DECLARING_ELSEWHERE | {
    b"_alias",
    b"_aliases",
    b"_create_from",
    b"_migration",
    b"_reindex",
    b"_settings",
}
_FROM_SNAPSHOT: Final = (b"/_restore", b"/_mount")  # brings indices that were not here
# What searches, or holds a query.
_SEARCHES: Final = re.compile(
    rb"/(?:[^/?]*/)?_(?:m?search(?:/template)?|async_search|count|validate/query|explain/[^/?]+"
    rb"|rank_eval|delete_by_query|update_by_query|query|query/async)/?(?:\?|$)"
)
# Those of them that are refused as a whole where their body has something unknown. Others answer
# 200 and tell of it, or run a template.
_REFUSED: Final = re.compile(rb"/(?:[^/?]*/)?_search/?(?:\?|$)")
# How the parts of a body name their indices.
_MANY_SEARCHES: Final = b"/_msearch"
_BY_SEARCHES: Final = (b'"index"', b'"indices"')
_BY_DOCUMENTS: Final = (b'"_index"',)
_IN_SEARCHES: Final = re.compile(rb'"(?:index|indices)"[ \t]*:[ \t]*"([^"\\]*)"')
_IN_DOCUMENTS: Final = re.compile(rb'"_index"[ \t]*:[ \t]*"([^"\\]*)"')
# What embeds texts with a model that may be an endpoint of ours.
_INFERS: Final = re.compile(rb"/_ml/trained_models/[^/?]+/(?:deployment/)?_infer/?(?:\?|$)")
# What stands in a search that Elasticsearch without its inference plugin does not know. Looked for
# one by one, as that is several times as fast as one pattern.
_SEMANTIC: Final = b'"semantic"'
_BUILDER: Final = b"query_vector_builder"
_RETRIEVER: Final = b'"retriever"'  # which early releases do not know at all
_KINDS: Final = (b"text_similarity_reranker", b'"linear"')  # of retrievers
_FUSION: Final = b'"rrf"'  # another one, and a `rank`
_ENDPOINT: Final = b'"inference_id"'  # of a `sparse_vector`
# What embeds in ES|QL, in any case; and how a request with such a query begins.
_FUNCTION: Final = b"text_embedding"
_ESQL: Final = b"POST /_query"
_ZERO: Final = b"\x00"  # in no JSON but that in UTF-16 or UTF-32, in which no name is found
_ESCAPE: Final = b"\\"
_ESCAPED_LETTER: Final = re.compile(rb"\\u00[4-7]")  # perhaps of one of these names
_IN_URL: Final = re.compile(
    rb"[?&]source=[^&]*(?:semantic|query_vector_builder|rrf|linear|inference_id)"
)
_MAY_BE_IN_URL: Final = re.compile(rb"\?.*(?:source|%)")  # a body, by its name or in escapes
# What a head has, in lower case, where these names look otherwise in the body.
_UNREADABLE: Final = (b"\r\ncontent-encoding:", b"yaml", b"cbor", b"smile")
_WRITES: Final = (b"PUT", b"POST")
# Other methods have no answer that tells of a field; that of HEAD tells how long a document is.
_METHODS: Final = (b"GET", *_WRITES, b"DELETE")
_DOCUMENT: Final = re.compile(rb"/[^/?]+/_(?:doc|source)/")
_WITH_QUERIES: Final = (b"GET", b"POST")
_DOCUMENTS: Final = re.compile(
    rb"/(?:(?:_all|[^/?_][^/?]*)?/)?_(?:bulk|doc|create|update|update_by_query|reindex)(?:/|\?|$)"
)
_OUR_TASKS: Final = f"/_tasks/{NODE}-".encode()
# First segments that name no index, and never show a document, a mapping or a search. Others show
# some: `_alias` the filters of aliases, `_nodes` what each field takes, `_tasks` the searches under
# way, `_ml`, `_transform` and `_watcher` what their own searches find.
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

    def __init__(self, registry: Registry, release: UpstreamRelease) -> None:
        self._registry = registry
        self._release = release
        # Gives another object whenever an answer of `takes` may have changed.
        self.generation = registry.generation

    def takes(self, method: bytes, target: bytes) -> bool:
        """Whether a request is looked at; `target` is raw."""
        if method not in _METHODS and (method != b"HEAD" or not _DOCUMENT.match(target)):
            return False
        if method == b"POST" and _INFERS.match(target) is not None:
            return True
        is_write = method in _WRITES
        if is_write and not self._registry.is_current and writes_documents(method, target):
            return True
        snapshot = self._registry.snapshot
        if not snapshot.active:
            if b"source=" in target and _searches(method, target) and _IN_URL.search(target):
                return True
            if is_write and _is_among(target, _DECLARING, _DECLARING_ELSEWHERE):
                return True
            # Tasks may be of a proxy that knows more by now, or did before.
            return target.startswith(b"/_") and (
                target.startswith(_OUR_TASKS) or (not is_write and tries_out(target))
            )
        path = target.partition(b"?")[0]
        first = path[1:].partition(b"/")[0]
        if not first:
            return len(path) > 1  # as `//_search`, which stands for all indices
        name = decoded(first)
        if name not in snapshot.plain and (first not in _ELSEWHERE or path.startswith(_SHOWS)):
            return True
        if _MAY_BE_IN_URL.search(target) and (
            is_in_parts(target) or (_searches(method, target) and _IN_URL.search(target))
        ):
            return True
        return changes(method, target) or may_ingest(method, target, name, snapshot)

    def looks_into(self, method: bytes, target: bytes) -> bool:
        """Whether the body of a request that is not taken may say otherwise."""
        return _searches(method, target) or (self._registry.snapshot.active and is_in_parts(target))

    def unrefused(self, target: bytes) -> bytes | None:
        """What Elasticsearch may answer in such a request although `takes_body` takes it.

        None where it may answer others, too.
        """
        # As the type of a highlighter: only shards that find something would complain of it.
        return None if _REFUSED.match(target) is None else _SEMANTIC

    def hides_body(self, head: bytes) -> bool:
        """Whether the names look otherwise in the body that belongs to a head."""
        lower = head.lower()
        return any(sign in lower for sign in _UNREADABLE)

    def takes_body(self, request: bytes, start: int) -> bool:
        """Whether a request into which we look, its body from `start` on, is taken after all."""
        find = request.rfind  # from the end, as that is twice as fast where these names are not
        if find(_ZERO, start) >= 0:
            return True
        if find(_SEMANTIC, start) >= 0 or find(_BUILDER, start) >= 0 or find(_FUSION, start) >= 0:
            return True
        if find(_ENDPOINT, start) >= 0:
            return True
        if find(_RETRIEVER, start) >= 0 and (
            self._release.may_lack_retrievers() or any(find(kind, start) >= 0 for kind in _KINDS)
        ):
            return True
        if request.startswith(_ESQL) and _FUNCTION in request[start:].lower():
            return True
        if self._registry.snapshot.active and self._names_others(request, start):
            return True
        return find(_ESCAPE, start) >= 0 and _ESCAPED_LETTER.search(request, start) is not None

    def _names_others(self, request: bytes, start: int) -> bool:
        """Whether a part of a body, which begins at `start`, may name an index that is not plain.

        As far as it can be seen without reading the body: in most, names are plain texts.
        """
        target = request[:start].split(b" ", 2)[1]
        if not is_in_parts(target):
            return False
        is_search = _MANY_SEARCHES in target
        keys = _BY_SEARCHES if is_search else _BY_DOCUMENTS
        count = sum(request.count(key, start) for key in keys)
        if not count:
            return False
        named = (_IN_SEARCHES if is_search else _IN_DOCUMENTS).findall(request, start)
        plain = self._registry.snapshot.plain
        return len(named) < count or any(
            name.decode("utf-8", "surrogateescape") not in plain for name in set(named)
        )


def _searches(method: bytes, target: bytes) -> bool:
    return method in _WITH_QUERIES and _SEARCHES.match(target) is not None


def writes_documents(method: bytes, target: bytes) -> bool:
    """Whether a request may write documents, which must not be without their vectors."""
    return method in _WRITES and _DOCUMENTS.match(target) is not None


def changes(method: bytes, target: bytes) -> bool:
    """Whether a request may change which names lead to semantic fields, or which pipelines run."""
    if method == b"DELETE" or method in _WRITES:
        return _is_among(target, _CHANGING, _CHANGING_ELSEWHERE)
    return False


def _is_among(target: bytes, behind_name: frozenset[bytes], elsewhere: frozenset[bytes]) -> bool:
    """Whether a target's path begins with one of these, or restores a snapshot."""
    path = target.partition(b"?")[0]
    segments = path.split(b"/", 3)
    first = segments[1] if len(segments) > 1 else b""
    if first == b"_snapshot":
        return path.rstrip(b"/").endswith(_FROM_SNAPSHOT)
    if first.startswith(b"_"):
        return first in elsewhere
    return first != b"" and (segments[2] if len(segments) > 2 else b"") in behind_name
