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
    previous = list(range(len(other) + 1))
    for row, left in enumerate(one, 1):
        current = [row]
        for column, right in enumerate(other, 1):
            current.append(
                min(
                    previous[column] + 1,
                    current[column - 1] + 1,
                    previous[column - 1] + (left != right),
                )
            )
        previous = current
    return 1.0 - previous[-1] / max(len(one), len(other), 1)
