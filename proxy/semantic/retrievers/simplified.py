"""Fields and a text, spelled out as retrievers.

One `multi_match` for the lexical fields, and below a retriever of the same kind one `match` for
each semantic field; indices that differ in their fields are searched side by side.
Source: MultiFieldsInnerRetrieverUtils.generateInnerRetrievers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from proxy.ground.errors import IllegalArgument
from proxy.semantic.registry import Target
from proxy.semantic.retrievers.fusion import f32
from proxy.semantic.retrievers.leaves import MATCH_NONE, STANDARD
from proxy.semantic.retrievers.tree import Branch, Fusing, Leaf, Retriever, Simplified

Weights = dict[str, float]  # by field, or pattern of fields

_DEFAULT_FIELDS: Final = ("*",)


@dataclass(frozen=True, slots=True)
class _Group:
    """Indices that are searched alike; `indices` None stands for all that are not named."""

    indices: tuple[str, ...] | None
    lexical: Weights
    semantic: Weights


def expanded(tree: Fusing, target: Target, defaults: Mapping[str, Sequence[str]]) -> Retriever:
    """The tree with retrievers in place of its fields and text.

    `defaults` are the default fields by index, of those that set them; they hold where the caller
    names no fields. Raises: IllegalArgument for a negative weight.
    """
    text, fields = tree.simplified.query, tree.simplified.fields
    if text is None:
        return tree
    groups = _groups(tree.name, fields, target, defaults)
    branches = [
        Branch(retriever=_lexical(text, lexical, only, target))
        for lexical, only in _by_lexical(groups)
    ]
    meaning = [
        Branch(retriever=_match(field, text, only), weight=weight)
        for (field, weight), only in _by_semantic(groups)
    ]
    if meaning:
        inner = replace(
            tree,
            simplified=Simplified(),
            branches=meaning,
            common=replace(tree.common, filters=(), min_score=None, label=None),
        )
        branches.append(Branch(retriever=inner))
    if not branches:
        return Leaf(name=STANDARD, values={"query": MATCH_NONE})
    return replace(tree, simplified=Simplified(), branches=branches)


def _groups(
    name: str,
    fields: Sequence[str] | None,
    target: Target,
    defaults: Mapping[str, Sequence[str]],
) -> list[_Group]:
    groups = []
    for index, semantic in target.fields.items():
        weights = _weights(name, fields, defaults.get(index))
        found: Weights = {}
        for pattern, weight in weights.items():
            for path in semantic:
                if _matches(pattern, path):
                    found[path] = f32(found[path] * weight) if path in found else weight
        lexical = {key: value for key, value in weights.items() if key not in found}
        groups.append(_Group((index,), lexical, found))
    if target.others:
        plain = [index for index in defaults if index not in target.fields]
        groups += [_Group((one,), _weights(name, fields, defaults[one]), {}) for one in plain]
        groups.append(_Group(None, _weights(name, fields, None), {}))
    return groups


def _weights(name: str, fields: Sequence[str] | None, default: Sequence[str] | None) -> Weights:
    weights: Weights = {}
    for one in fields if fields is not None else default or _DEFAULT_FIELDS:
        path, _, boost = one.partition("^")
        try:
            weights[path] = f32(float(boost)) if boost else 1.0
        except ValueError:
            raise IllegalArgument(f'For input string: "{boost}"') from None
        if weights[path] < 0:
            raise IllegalArgument(f"[{name}] per-field weights must be non-negative")
    return weights


def _matches(pattern: str, path: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), path) is not None


def _by_lexical(groups: Sequence[_Group]) -> list[tuple[Weights, Any]]:
    """The lexical fields of all groups, each with the filter for where they are such."""
    found: dict[tuple[tuple[str, float], ...], list[_Group]] = {}
    for group in groups:
        if group.lexical:
            found.setdefault(tuple(sorted(group.lexical.items())), []).append(group)
    return [(dict(fields), _only(those, groups)) for fields, those in found.items()]


def _by_semantic(groups: Sequence[_Group]) -> list[tuple[tuple[str, float], Any]]:
    found: dict[tuple[str, float], list[_Group]] = {}
    for group in groups:
        for item in group.semantic.items():
            found.setdefault(item, []).append(group)
    return [(item, _only(those, groups)) for item, those in found.items()]


def _only(those: Sequence[_Group], groups: Sequence[_Group]) -> Any:
    """A filter for the indices of some groups; None where those are all."""
    if len(those) == len(groups):
        return None
    rest = [group for group in groups if group not in those]
    if any(group.indices is None for group in those):
        return {"bool": {"must_not": [{"terms": {"_index": _names(rest)}}]}}
    return {"terms": {"_index": _names(those)}}


def _names(groups: Sequence[_Group]) -> list[str]:
    return [index for group in groups for index in group.indices or ()]


def _lexical(text: str, weights: Weights, only: Any, target: Target) -> Leaf:
    """What `most_fields` does; fields that are semantic elsewhere are not for `multi_match`."""
    semantic = {path for fields in target.fields.values() for path in fields}
    mixed = [path for path in weights if path in semantic]
    shown = [_boosted(path, weights[path]) for path in weights if path not in mixed]
    queries: list[Any] = [
        {"match": {path: {"query": text, "boost": weights[path]}}} for path in mixed
    ]
    if shown:
        queries.append({"multi_match": {"query": text, "type": "most_fields", "fields": shown}})
    query = (
        queries[0] if len(queries) == 1 else {"dis_max": {"tie_breaker": 1.0, "queries": queries}}
    )
    return _standard(query, only)


def _boosted(path: str, weight: float) -> str:
    return path if weight == 1.0 else f"{path}^{weight}"


def _match(field: str, text: str, only: Any) -> Leaf:
    return _standard({"match": {field: {"query": text}}}, only)


def _standard(query: Any, only: Any) -> Leaf:
    return Leaf(name=STANDARD, values={"query": query} | ({"filter": only} if only else {}))
