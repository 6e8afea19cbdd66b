"""Queries that fail on some shards as Elasticsearch's semantic fields make them fail.

A shard that refuses a query does not end a search: others may answer, and the failure stands beside
their hits. So the upstream is given a query that it cannot parse either, with the text of the error
in it, and its answer is changed to what it would have been.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from proxy.ground.errors import IllegalArgument, XContentParseFailed

_MARK: Final = "xinf!"
_END: Final = "(("  # which no query string may end with
_REASON: Final = re.compile(
    rf"Failed to parse query \[{_MARK}(?P<kind>\w):(?P<reason>.*?)\(\(\](?P<cause>; org\..*)?",
    re.DOTALL,
)
# Where an error quotes the query of which this one is a part.
_QUOTED: Final = re.compile(rf"{_MARK}\w:(?P<reason>.*?)\(\(", re.DOTALL)
_ON_BUILDING: Final = "b"  # a query that cannot be made of what was sent
_ON_REWRITING: Final = "r"
_OF_SEMANTIC: Final = ("field", "query", "lenient", "boost", "_name")
# The options of a `match`, and what Elasticsearch takes as values of some.
_ANY, _FLAG, _COUNT = "(?s:.*)", "true|false", "[0-9]+"
_OF_MATCH: Final = {
    name: re.compile(values, re.IGNORECASE)
    for name, values in {
        "query": _ANY,
        "boost": _ANY,
        "_name": _ANY,
        "analyzer": _ANY,
        "minimum_should_match": _ANY,
        "fuzzy_rewrite": _ANY,
        "operator": "and|or",
        "zero_terms_query": "none|all",
        "fuzziness": "auto(:[0-9]+,[0-9]+)?|[0-2]",
        "prefix_length": _COUNT,
        "max_expansions": _COUNT,
        "fuzzy_transpositions": _FLAG,
        "lenient": _FLAG,
        "auto_generate_synonyms_phrase_query": _FLAG,
    }.items()
}


def refusal(reason: str, *, on_rewriting: bool = False) -> dict[str, Any]:
    """A query that fails on every shard that it reaches.

    Elasticsearch tells errors apart by when they are found: one `on_rewriting` stands for itself.
    """
    kind = _ON_REWRITING if on_rewriting else _ON_BUILDING
    return {"query_string": {"query": f"{_MARK}{kind}:{reason}{_END}", "fields": ["_id"]}}


def takes_match(options: Mapping[str, Any]) -> bool:
    """Whether a `match` with these options can be parsed, although most mean nothing to meaning.

    Source: MatchQueryBuilder.fromXContent.
    """
    return all(
        name in _OF_MATCH and _OF_MATCH[name].fullmatch(str(value))
        for name, value in options.items()
    )


def with_refusals(document: Any) -> Any:
    """An answer's document with the errors that were meant."""
    if isinstance(document, list):
        return [with_refusals(one) for one in document]
    if isinstance(document, str):
        if _MARK not in document:
            return document
        return _QUOTED.sub(lambda found: found["reason"], _REASON.sub(_text, document))
    if not isinstance(document, Mapping):
        return document
    reason = document.get("reason")
    if isinstance(reason, str) and (found := _REASON.fullmatch(reason)):
        return _error(document, found)
    made = {key: with_refusals(value) for key, value in document.items()}
    return _with_cause(made) if made.get("type") == "search_phase_execution_exception" else made


def _error(error: Mapping[str, Any], found: re.Match[str]) -> dict[str, Any]:
    cause = {"type": "illegal_argument_exception", "reason": found["reason"]}
    # That of a request for one shard is the whole error.
    roots = {key: with_refusals(error[key]) for key in ("root_cause",) if key in error}
    if found["kind"] == _ON_REWRITING:
        return {**roots, **cause}
    # Among them the trace, which quotes the reason.
    kept = {key: with_refusals(value) for key, value in error.items() if key != "caused_by"}
    made = {**kept, **roots, "reason": _text(found)}
    return {**made, "caused_by": cause} if "caused_by" in error else made


def _text(found: re.Match[str]) -> str:
    if found["kind"] == _ON_REWRITING:
        return found["reason"]
    cause = f"; java.lang.IllegalArgumentException: {found['reason']}" if found["cause"] else ""
    return f"failed to create query: {found['reason']}{cause}"


def _with_cause(error: dict[str, Any]) -> dict[str, Any]:
    """As Elasticsearch shows searches that failed by an exception not its own."""
    failed = error.get("failed_shards")
    if "caused_by" in error or not isinstance(failed, list) or not failed:
        return error
    cause = failed[0].get("reason", {})
    if cause.get("type") != "illegal_argument_exception":
        return error
    return {**error, "caused_by": {**cause, "caused_by": cause}}


def check_semantic(body: Mapping[str, Any]) -> None:
    """Raises: XContentParseFailed, IllegalArgument as Elasticsearch's parser does."""
    for name in body:
        if name not in _OF_SEMANTIC:
            raise XContentParseFailed(f"[semantic] unknown field [{name}]")
    for name in ("field", "query"):
        if body.get(name) is None:
            raise IllegalArgument(f"[semantic] requires a {name} value")
        if not isinstance(body[name], str):
            raise XContentParseFailed(f"[semantic] {name} doesn't support values of this type")


_NOT_MATCHED: Final = "Field [{path}] of type [semantic_text] does not support %s queries"
_NO_TERMS: Final = "semantic_text fields do not support term query"
_ONLY_ON: Final = "Can only use %s - not on [{path}] which is of type [semantic_text]"
# Queries that semantic fields do not take, and what Elasticsearch says to them.
# Source: SemanticTextFieldType, MappedFieldType, MatchQueryParser.
UNSUPPORTED: Final[Mapping[str, str]] = {
    "term": _NO_TERMS,
    "terms": _NO_TERMS,
    "terms_set": _NO_TERMS,
    "span_term": _NO_TERMS,
    "prefix": _ONLY_ON % "prefix queries on keyword, text and wildcard fields",
    "wildcard": _ONLY_ON % "wildcard queries on keyword, text and wildcard fields",
    "regexp": _ONLY_ON % "regexp queries on keyword and text fields",
    "fuzzy": _ONLY_ON % "fuzzy queries on keyword and text fields",
    "intervals": _ONLY_ON % "interval queries on text fields",
    "range": _NOT_MATCHED % "range",
    "match_phrase": _NOT_MATCHED % "match_phrase",
    "match_phrase_prefix": _NOT_MATCHED % "match_phrase_prefix",
    "match_bool_prefix": _NOT_MATCHED % "match_bool_prefix",
    "combined_fields": _NOT_MATCHED % "[combined_fields]",
    "more_like_this": "more_like_this only supports text/keyword fields: [{path}]",
    "distance_feature": "Illegal data type of [semantic_text]![distance_feature] query can only be "
    "run on a date, date_nanos or geo_point field type!",
}
# What a `multi_match` of a type that is no plain `match` is called there.
MULTI_MATCH: Final[Mapping[str, str]] = {
    "phrase": "match_phrase",
    "phrase_prefix": "match_phrase_prefix",
    "bool_prefix": "match_bool_prefix",
}
NOT_MATCHED: Final = _NOT_MATCHED
