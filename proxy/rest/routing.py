"""Which route a raw path leads to, and the error for a method that a path does not take.

Source: PathTrie, RestController.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final
from urllib.parse import unquote

from proxy.errors import PlainError, ProxyError
from proxy.rest.request import RestRequest

_METHODS: Final = frozenset(
    ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE", "CONNECT")
)


@dataclass(frozen=True, slots=True)
class Match:
    """The pattern that a path has, and the decoded values of its parameters."""

    pattern: str
    parameters: dict[str, str]


def match_path(segments: Sequence[str], patterns: Iterable[str]) -> Match | None:
    """The pattern that these undecoded segments have, None where no pattern fits.

    At each level literals come before parameters, without backtracking. Source: PathTrie.
    """
    candidates = [(pattern, _parts(pattern)) for pattern in patterns]
    for level, segment in enumerate(segments):
        longer = [one for one in candidates if len(one[1]) > level]
        literal = [one for one in longer if one[1][level] == segment]
        candidates = literal or [one for one in longer if one[1][level].startswith("{")]
    found = next((one for one in candidates if len(one[1]) == len(segments)), None)
    if found is None:
        return None
    pattern, parts = found
    names = {
        part.strip("{}"): unquote(segment, errors="replace")
        for part, segment in zip(parts, segments, strict=True)
        if part.startswith("{")
    }
    return Match(pattern, names)


@cache
def _parts(pattern: str) -> list[str]:
    return pattern.strip("/").split("/")


def wrong_method(request: RestRequest, allowed: Collection[str]) -> ProxyError:
    """405 with the methods that the path takes, if there are any."""
    uri = f"for uri [{request.target}] and method [{request.method}]"
    known = request.method in _METHODS
    problem = (
        f"Incorrect HTTP method {uri}" if known else f"Unexpected http method: {request.method}"
    )
    if not allowed:
        return PlainError(405, problem)
    return PlainError(
        405,
        f"{problem}, allowed: [{', '.join(allowed)}]",
        headers=[("Allow", ",".join(allowed))],
    )
