"""The answers to searches, as Elasticsearch gives them for semantic fields of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from proxy.semantic import layout
from proxy.semantic.fields import TYPE
from proxy.semantic.hiding import hidden_in_text
from proxy.semantic.refusals import NOT_MATCHED, with_refusals

Reword = Callable[[str], str]

_OURS: Final = layout.CONTAINER.encode()
_FAILED: Final = b'"failed":'
_BEGINNING: Final = 1024  # bytes, before anything that a document says
_PREFIX: Final = f"{layout.CONTAINER}."
# Texts in which the upstream speaks of a placeholder, the semantic field for it.
_NOT_INDEXED: Final = re.compile(r"Cannot search on field \[([^\]]*)\] since it is not indexed\.")
_FIELDDATA: Final = re.compile(r"Fielddata is disabled on \[([^\]]*)\] in \[.*", re.DOTALL)
# And of a field of ours, the field that it is for.
_NO_VALUES: Final = re.compile(
    rf"(?:Can't load fielddata on|Fielddata is not supported on field) \[{layout.CONTAINER}\..*",
    re.DOTALL,
)
_FORMATS: Final = re.compile(r"Field \[([^\]]*)\](?: of type \[text\])? doesn't support formats\.")
_NO_FIELDDATA: Final = f"[{TYPE}] fields do not support sorting, scripting or aggregating"
# Parts of an answer that tell what went wrong, or how hits came about.
_TOLD: Final = ("_shards", "error", "profile", "failures", "explanations", "explanation")


def rewording(paths: Mapping[str, Any], formats: Mapping[str, str]) -> Reword:
    """How texts of the upstream's are changed; `paths` are semantic.

    `formats` are those that fields were asked for in vain.
    """

    def not_indexed(match: re.Match[str]) -> str:
        return (NOT_MATCHED % "match").format(path=match[1]) if match[1] in paths else match[0]

    def no_fielddata(match: re.Match[str]) -> str:
        return _NO_FIELDDATA if match[1] in paths else match[0]

    def no_format(match: re.Match[str]) -> str:
        if match[1] not in formats:
            return match[0]
        asked = formats[match[1]]
        return f"Unknown format [{asked}] for field [{match[1]}], only [chunks] is supported."

    def reword(text: str) -> str:
        text = _NOT_INDEXED.sub(not_indexed, text)
        text = _FIELDDATA.sub(no_fielddata, text)
        text = _NO_VALUES.sub(_NO_FIELDDATA, text)
        return hidden_in_text(_FORMATS.sub(no_format, text))

    return reword


def presentable(document: Any, reword: Reword) -> Any:
    """The answer to a search, or to what else has a query, without anything of ours."""
    if not isinstance(document, Mapping):
        return document
    made = dict(document)
    for name in _TOLD:
        if name in made:
            made[name] = told(made[name], reword)
    for name in ("hits", "aggregations", "inner_hits"):
        if name in made:
            made[name] = _below(made[name], reword)
    for name in ("response", "get"):  # of an asynchronous search, of `_explain`
        if isinstance(made.get(name), Mapping):
            made[name] = presentable(_hit(made[name], reword), reword)
    return made


def is_about_ours(answer: bytes) -> bool:
    """Whether the answer to a search may have to be changed."""
    # From the end, as that is twice as fast where the name is not.
    return answer.rfind(_OURS) >= 0 or has_failures(answer)


def has_failures(answer: bytes) -> bool:
    """Whether any shard may have failed; the answer to one search begins with how many have."""
    at = answer.find(_FAILED, 0, _BEGINNING)
    if at >= 0:
        return not answer.startswith(b"0", at + len(_FAILED))
    return b'"failures"' in answer


def told(document: Any, reword: Reword) -> Any:
    """What the upstream tells in texts, with each of them reworded."""
    return _reworded(with_refusals(document), reword)


def hits_of(document: Any) -> list[dict[str, Any]]:
    """The hits of a search's answer, which may be asynchronous; not those within them."""
    if isinstance(document, Mapping) and isinstance(document.get("response"), Mapping):
        document = document["response"]
    hits = document.get("hits") if isinstance(document, Mapping) else None
    found = hits.get("hits") if isinstance(hits, Mapping) else None
    return found if isinstance(found, list) else []


def _reworded(value: Any, reword: Reword) -> Any:
    if isinstance(value, str):
        return reword(value)
    if isinstance(value, list):
        return [_reworded(one, reword) for one in value]
    if isinstance(value, Mapping):
        return {key: _reworded(one, reword) for key, one in value.items()}
    return value


def _below(value: Any, reword: Reword) -> Any:
    """A part of an answer that may hold hits."""
    if isinstance(value, list):
        return [_below(one, reword) for one in value]
    if not isinstance(value, Mapping):
        return value
    if "_index" in value or "_nested" in value:
        return _hit(value, reword)
    return {key: _below(one, reword) for key, one in value.items()}


def _hit(hit: Mapping[str, Any], reword: Reword) -> dict[str, Any]:
    made = dict(hit)
    if "_explanation" in made:
        made["_explanation"] = told(made["_explanation"], reword)
    if isinstance(nested := made.get("_nested"), Mapping):
        made["_nested"] = {**nested, "field": _native(nested.get("field"))}
    for name in ("_source", "fields", "highlight"):
        if isinstance(made.get(name), Mapping):
            made[name] = {
                key: value for key, value in made[name].items() if not layout.is_ours(key)
            }
            if not made[name] and name != "_source":
                del made[name]
    if "inner_hits" in made:
        made["inner_hits"] = _below(made["inner_hits"], reword)
    return made


def _native(path: Any) -> Any:
    """Where Elasticsearch would have chunks that lie at `path`."""
    if not isinstance(path, str) or not path.startswith(_PREFIX):
        return path
    key = path.removeprefix(_PREFIX).partition(".")[0]
    return f"{layout.path_of(key)}.{layout.NATIVE_CHUNKS}"
