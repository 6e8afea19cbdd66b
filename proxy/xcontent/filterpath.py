"""`filter_path`: the part of an answer that the caller asks for. Source: FilterPath."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final


def filter_paths(value: Any, filters: str) -> Any:
    """What a comma-separated list of paths selects, an empty object if that is nothing.

    `*` stands for any part of a name, `**` for any number of levels; a leading `-` excludes.
    """
    patterns = [pattern.strip() for pattern in filters.split(",") if pattern.strip()]
    includes = [_steps(pattern) for pattern in patterns if not pattern.startswith("-")]
    excludes = [_steps(pattern[1:]) for pattern in patterns if pattern.startswith("-")]
    if includes:
        value = _include(value, includes)
    if excludes and value is not None:
        value = _exclude(value, excludes)
    return {} if value is None or value is _NOTHING else value


Steps = tuple[str, ...]


def _steps(pattern: str) -> Steps:
    """The names of a path; `**` twice in a row means the same as once."""
    steps = [step.replace("\\.", ".") for step in re.split(r"(?<!\\)\.", pattern)]
    return tuple(
        step
        for number, step in enumerate(steps)
        if step != "**" or steps[number - 1 : number] != ["**"]
    )


def _advance(patterns: Iterable[Steps], key: str) -> dict[Steps, None]:
    """What is left of the patterns below `key`; an empty one selects all of its value."""
    below: dict[Steps, None] = {}
    for head, *rest in patterns:
        if head == "**":
            below[(head, *rest)] = None
            below |= _advance([tuple(rest)], key) if rest else {(): None}
        elif _matches(head, key):
            below[tuple(rest)] = None
    return below


@lru_cache(maxsize=256)
def _wildcard(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in re.split(r"\*+", pattern)), re.DOTALL)


def _matches(pattern: str, key: str) -> bool:
    return _wildcard(pattern).fullmatch(key) is not None


def _include(value: Any, patterns: Iterable[Steps]) -> Any:
    if isinstance(value, list):
        kept = [item for item in (_include(item, patterns) for item in value) if item is not None]
        return kept or None
    if not isinstance(value, dict):
        return None
    result = {}
    for key, item in value.items():
        below = _advance(patterns, key)
        if () in below:
            result[key] = item
        elif below and (kept := _include(item, below)) is not None:
            result[key] = kept
    return result or None


_NOTHING: Final = object()  # unlike None, which is a value: null


def _exclude(value: Any, patterns: Iterable[Steps]) -> Any:
    """What is left of a value; `_NOTHING` if the patterns have emptied an object or array."""
    if isinstance(value, list):
        items = [_exclude(item, patterns) for item in value]
        kept = [item for item in items if item is not _NOTHING]
        return kept if kept or not value else _NOTHING
    if not isinstance(value, dict):
        return value
    result = {}
    for key, item in value.items():
        below = _advance(patterns, key)
        left = _NOTHING if () in below else _exclude(item, below) if below else item
        if left is not _NOTHING:
            result[key] = left
    return result if result or not value else _NOTHING
