"""Which part of documents' sources is shown: never `xinf`, and `_inference_fields` on request.

Elasticsearch shows `_inference_fields` in the source where vectors are asked for, where a search
names it among its `fields` and, from 9.2 on, where a filter takes it in by its name or a pattern.
Source: FetchSourceContext, ShardGetService, InferenceMetadataFieldsMapper.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Final

from proxy.semantic import layout

INFERENCE_FIELDS: Final = "_inference_fields"
_VECTORS_IN_URL: Final = "_source_exclude_vectors"
_VECTORS: Final = "exclude_vectors"
_PATTERNS: Final = ("includes", "include", "excludes", "exclude")
_IN_URL: Final = ("_source", "_source_includes", "_source_excludes", _VECTORS_IN_URL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """How sources are filtered; `value` is its form in a body."""

    source: bool | None  # False shows no source at all
    includes: tuple[str, ...]
    excludes: tuple[str, ...]
    exclude_vectors: Any
    others: Mapping[str, Any] = field(default_factory=dict)  # of a body, for the upstream to refuse

    def shows_inference_fields(self, *, by_name: bool) -> bool:
        """Whether `_inference_fields` is asked for, and not left out by a pattern.

        by_name: whether it is enough that a pattern takes it in.
        """
        if self.source is False or _covers(self.excludes):
            return False
        if by_name and any(fnmatchcase(INFERENCE_FIELDS, one) for one in self.includes):
            return True
        asks_for_vectors = self.exclude_vectors in (False, "false")
        return asks_for_vectors and (not self.includes or _covers(self.includes))

    def for_upstream(self, *, shows: bool, hides_vectors: bool) -> dict[str, Any]:
        """The filter with `xinf` left out or, where it `shows`, taken in with its vectors."""
        if not shows:
            made: dict[str, Any] = {**self.others, "excludes": [*self.excludes, layout.CONTAINER]}
            if self.includes:
                made["includes"] = list(self.includes)
            if self.exclude_vectors is not None:
                made[_VECTORS] = self.exclude_vectors
            return made
        made = dict(self.others)
        if self.excludes:
            made["excludes"] = list(self.excludes)
        if self.includes:
            made["includes"] = [*self.includes, layout.CONTAINER]
        if hides_vectors or self.exclude_vectors is not None:
            made[_VECTORS] = False
        return made

    def apart(self) -> tuple[Filter, tuple[str, ...]]:
        """The filter without patterns that might leave out parts of `xinf`, and these.

        They leave whole what is shown in its place, so they are for the answer.
        """
        reaching = tuple(filter(_reaches, self.excludes))
        excludes = tuple(one for one in self.excludes if one not in reaching)
        return replace(self, excludes=excludes), reaching


def _reaches(pattern: str) -> bool:
    before, star, _ = pattern.partition("*")
    return bool(star) and f"{layout.CONTAINER}.".startswith(before)


def _covers(patterns: tuple[str, ...]) -> bool:
    return any(
        fnmatchcase(INFERENCE_FIELDS, pattern) or pattern.startswith(f"{INFERENCE_FIELDS}.")
        for pattern in patterns
    )


def is_in_url(parameters: Mapping[str, str]) -> bool:
    """Whether the URL says what is shown of the source, and the body no more."""
    return any(name in parameters for name in _IN_URL)


def hides_source(body: Mapping[str, Any], parameters: Mapping[str, str]) -> bool:
    """Whether stored fields are asked for instead of the source, and no filter of it.

    Source: FetchSourceContext, StoredFieldsContext.
    """
    if "_source" in body or is_in_url(parameters):
        return False
    stored = [*_names(body.get("stored_fields")), *_parts(parameters.get("stored_fields"))]
    asks = "stored_fields" in body or "stored_fields" in parameters  # for none, perhaps
    return asks and "_source" not in stored


def filter_in_url(parameters: Mapping[str, str]) -> Filter:
    """The filter of a request without a body."""
    source = parameters.get("_source", "")
    includes = _parts(parameters.get("_source_includes"))
    if source not in ("", "true", "false"):
        includes = _parts(source)
    return Filter(
        source={"true": True, "false": False}.get(source),
        includes=includes,
        excludes=_parts(parameters.get("_source_excludes")),
        exclude_vectors=parameters.get(_VECTORS_IN_URL),
    )


def url_with(
    parameters: Mapping[str, str], *, shows: bool = False, hides_vectors: bool = True
) -> dict[str, str]:
    """The parameters with a filter for the upstream, which leaves `xinf` out or `shows` it."""
    found = filter_in_url(parameters)
    if found.source is False or hides_source({}, parameters):
        return dict(parameters)
    filter = found.for_upstream(shows=shows, hides_vectors=hides_vectors)
    made = {name: value for name, value in parameters.items() if name not in _IN_URL}
    for name, value in filter.items():
        text = str(value).lower() if name == _VECTORS else ",".join(value)
        made[f"_source_{name}"] = text
    return made


def filter_in_body(source: Any) -> Filter | None:
    """The filter that a body has as `_source`; None for what is none."""
    nothing = Filter(source=None, includes=(), excludes=(), exclude_vectors=None)
    match source:
        case None | True:
            return nothing
        case False:
            return Filter(source=False, includes=(), excludes=(), exclude_vectors=None)
        case str() | [*_]:
            return Filter(source=None, includes=_names(source), excludes=(), exclude_vectors=None)
        case Mapping() as filters:
            known = {name: one for name, one in filters.items() if _is_known(name, one)}
            return Filter(
                source=None,
                includes=_names(known.get("includes", known.get("include"))),
                excludes=_names(known.get("excludes", known.get("exclude"))),
                exclude_vectors=known.get(_VECTORS),
                others={name: one for name, one in filters.items() if name not in known},
            )
    return None


def _is_known(name: str, value: Any) -> bool:
    if name == _VECTORS:
        return isinstance(value, bool)
    listed = value if isinstance(value, list) else [value]
    return name in _PATTERNS and all(isinstance(one, str) for one in listed)


def without_container(source: Any) -> Any:
    """A `_source` filter of a body that leaves out what the layer added."""
    found = filter_in_body(source)
    if found is None or found.source is False:
        return source
    return found.for_upstream(shows=False, hides_vectors=False)


def without_matches(source: Mapping[str, Any], patterns: Iterable[str]) -> dict[str, Any]:
    """A source without fields that match, but with `_inference_fields`.

    Source: XContentMapValues.filter.
    """
    wanted = (".*".join(map(re.escape, pattern.split("*"))) for pattern in patterns)
    matches = re.compile(rf"(?:{'|'.join(wanted)})(?:\..*)?", re.DOTALL)
    kept = {INFERENCE_FIELDS: source[INFERENCE_FIELDS]} if INFERENCE_FIELDS in source else {}
    return {**_unmatched(source, matches, ""), **kept}


def _unmatched(value: Any, matches: re.Pattern[str], path: str) -> Any:
    if isinstance(value, list):
        return [_unmatched(one, matches, path) for one in value]
    if not isinstance(value, Mapping):
        return value
    return {
        name: _unmatched(one, matches, f"{path}{name}.")
        for name, one in value.items()
        if not matches.fullmatch(path + name)
    }


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(map(str, value)) if isinstance(value, list) else ()


def _parts(value: str | None) -> tuple[str, ...]:
    return tuple(part for part in (value or "").split(",") if part)
