"""Suggestions for misspelt names, as Elasticsearch makes them."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(name: str, candidates: Iterable[str], prefix: str = " ") -> str:
    """`did you mean [...]?` behind `prefix`, or an empty text if no candidate is similar.

    Source: SuggestingErrorOnUnknownField, BaseRestHandler.unrecognized.
    """
    # Names much longer or shorter are never similar, and comparing them would take long.
    measured = [other for other in candidates if len(other) < 2 * len(name) < 4 * len(other)]
    scored = sorted((-_similarity(name, other), other) for other in measured)
    near = [other for score, other in scored if -score > 0.5]
    if not near:
        return ""
    if len(near) == 1:
        return f"{prefix}did you mean [{near[0]}]?"
    return f"{prefix}did you mean any of [{', '.join(near)}]?"


def _similarity(one: str, other: str) -> float:
    """1 minus the edit distance per character of the longer name. Source: LevenshteinDistance."""
    return 1.0 - _distance(one, other) / max(len(one), len(other), 1)


def _distance(one: str, other: str) -> int:
    """The edit distance, by Myers' bit-parallel algorithm as Hyyrö states it.

    A column of the table is two numbers: bit i of `up` says that its value grows from row i to row
    i + 1, and that of `down` that it falls. So names of callers cost little.
    """
    if not one:
        return len(other)
    places: dict[str, int] = {}
    for row, letter in enumerate(one):
        places[letter] = places.get(letter, 0) | 1 << row
    rows, last = (1 << len(one)) - 1, 1 << len(one) - 1
    up, down, distance = rows, 0, len(one)
    for letter in other:
        equal = places.get(letter, 0)
        diagonal = (((equal & up) + up) ^ up) | equal | down  # where it is the value there
        grows = down | ~(diagonal | up)  # from the column before, as does `falls`
        falls = up & diagonal
        distance += bool(grows & last) - bool(falls & last)
        grows = grows << 1 | 1
        up = (falls << 1 | ~(diagonal | grows)) & rows
        down = grows & diagonal & rows
    return distance
