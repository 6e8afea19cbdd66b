"""The plain highlighter, which fails on a search for vectors: it is given the words alone.

Source: CustomQueryScorer, which runs queries on an index in memory that has no vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from proxy.semantic.prefilters import each, pruned

_PLAIN: Final = "plain"
_VECTORS: Final = "knn"
_NOTHING: Final[Mapping[str, Any]] = {"match_none": {}}


def with_words_alone(highlight: Mapping[str, Any], query: Any) -> dict[str, Any]:
    """A `highlight` of hits that a rewritten query finds, fit for the plain highlighter."""

    def of_fields(fields: Any) -> Any:
        if not isinstance(fields, Mapping):
            return fields
        return {name: _with_words(options, highlight, query) for name, options in fields.items()}

    return {**highlight, "fields": each(highlight.get("fields"), of_fields)}


def _with_words(options: Any, highlight: Mapping[str, Any], query: Any) -> Any:
    if not isinstance(options, Mapping):
        return options
    every = {**highlight, **options}
    if every.get("type") != _PLAIN:
        return options
    asked = every.get("highlight_query", query)
    if not _names_vectors(asked):
        return options
    words = pruned(asked, lambda name, _: name == _VECTORS)
    return {**options, "highlight_query": _NOTHING if words is None else words}


def _names_vectors(query: Any) -> bool:
    if isinstance(query, list):
        return any(_names_vectors(one) for one in query)
    if not isinstance(query, Mapping):
        return False
    return _VECTORS in query or any(_names_vectors(one) for one in query.values())


def query_of(body: Mapping[str, Any]) -> Any:
    """The query of a search, which may be that of a retriever."""
    match body:
        case {"retriever": {"standard": {"query": query}}}:
            return query
    return body.get("query")
