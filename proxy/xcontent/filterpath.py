"""`filter_path`: the part of an answer that the caller asks for. Source: FilterPath."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.ground.errors import IllegalArgument

MAX_PATHS: Final = 100
MAX_COMPARISONS: Final = 5_000_000  # of names with wildcards, in one answer: about two seconds


@dataclass(slots=True)
class _Level:
    """How paths go on: those with the same beginning share it."""

    ends: bool = False  # a path ends here, and selects all of the value
    repeats: bool = False  # it was reached by `**`, and stays for the levels below
    names: dict[str, _Level] = field(default_factory=dict)
    wildcards: dict[str, _Level] = field(default_factory=dict)
    deep: _Level | None = None  # behind `**`

    def below(self, step: str) -> _Level:
        """The level behind one more step of a path."""
        if step == "**":
            if self.repeats:
                return self  # twice in a row means the same as once
            self.deep = self.deep or _Level(repeats=True)
            return self.deep
        return (self.wildcards if "*" in step else self.names).setdefault(step, _Level())


@dataclass(frozen=True, slots=True)
class Filter:
    """A comma-separated list of paths, parsed.

    `*` stands for any part of a name, `**` for any number of levels; a leading `-` excludes.
    """

    includes: _Level | None
    excludes: _Level | None
    wildcards: int  # in all paths together

    def apply(self, value: Any) -> Any:
        """What the paths select, an empty object if that is nothing.

        Raises: IllegalArgument if it would take more than MAX_COMPARISONS.
        """
        if self.includes is not None:
            value = _Selection().include(value, _with_deep([self.includes]))
        if self.excludes is not None and value is not None:
            value = _Selection().exclude(value, _with_deep([self.excludes]))
        return {} if value is None or value is _NOTHING else value


def parse_filter(text: str) -> Filter:
    """Raises: IllegalArgument for more than MAX_PATHS."""
    paths = [path for path in (part.strip() for part in text.split(",")) if path]
    if len(paths) > MAX_PATHS:
        raise IllegalArgument(
            f"[filter_path] names [{len(paths)}] paths, more than the maximum allowed [{MAX_PATHS}]"
        )
    return Filter(
        includes=_tree([path for path in paths if not path.startswith("-")]),
        excludes=_tree([path[1:] for path in paths if path.startswith("-")]),
        wildcards=text.count("*"),
    )


def _tree(paths: Sequence[str]) -> _Level | None:
    root = _Level()
    for path in paths:
        level = root
        for step in re.split(r"(?<!\\)\.", path):
            level = level.below(step.replace("\\.", "."))
        level.ends = True
    return root if paths else None


def _with_deep(levels: Iterable[_Level]) -> list[_Level]:
    """The levels, each once, and those behind a `**` that stands for no level at all."""
    found: dict[int, _Level] = {}
    for level in levels:
        found[id(level)] = level
        if level.deep is not None:
            found[id(level.deep)] = level.deep
    return list(found.values())


_NOTHING: Final = object()  # unlike None, which is a value: null


class _Selection:
    """Goes through one answer."""

    def __init__(self) -> None:
        self._comparisons = 0

    def include(self, value: Any, levels: list[_Level]) -> Any:
        """What the paths select of a value; None if that is nothing."""
        if isinstance(value, list):
            items = (self.include(item, levels) for item in value)
            return [item for item in items if item is not None] or None
        if not isinstance(value, dict):
            return None
        result = {}
        for key, item in value.items():
            below = self._below(levels, key)
            if any(level.ends for level in below):
                result[key] = item
            elif below and (kept := self.include(item, _with_deep(below))) is not None:
                result[key] = kept
        return result or None

    def exclude(self, value: Any, levels: list[_Level]) -> Any:
        """What is left of a value; `_NOTHING` if the paths have emptied an object or array."""
        if isinstance(value, list):
            items = [self.exclude(item, levels) for item in value]
            kept = [item for item in items if item is not _NOTHING]
            return kept if kept or not value else _NOTHING
        if not isinstance(value, dict):
            return value
        result = {}
        for key, item in value.items():
            below, left = self._below(levels, key), item
            if any(level.ends for level in below):
                continue
            if below:
                left = self.exclude(item, _with_deep(below))
            if left is not _NOTHING:
                result[key] = left
        return result if result or not value else _NOTHING

    def _below(self, levels: list[_Level], key: str) -> list[_Level]:
        """How the paths go on below `key`."""
        below = []
        for level in levels:
            if level.repeats:
                below.append(level)
            if (named := level.names.get(key)) is not None:
                below.append(named)
            if level.wildcards:
                self._count(len(level.wildcards))
                below += [next for step, next in level.wildcards.items() if matches(step, key)]
        return below

    def _count(self, comparisons: int) -> None:
        self._comparisons += comparisons
        if self._comparisons > MAX_COMPARISONS:
            raise IllegalArgument(
                f"[filter_path] takes more than [{MAX_COMPARISONS}] comparisons of names with "
                "wildcards for this answer, which is the maximum allowed"
            )


def matches(pattern: str, name: str) -> bool:
    """Whether a name has the parts around the `*`s of a pattern, in their order.

    Each part is taken where it is found first, so the time grows with the length of both only.
    """
    first, *middle, last = pattern.split("*")
    end = len(name) - len(last)
    if len(first) > end or not name.startswith(first) or not name.endswith(last):
        return False
    at = len(first)
    for part in middle:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
