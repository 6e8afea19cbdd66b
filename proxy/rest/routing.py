"""Which route a raw path leads to, and the error for a method that a path does not take.

Source: PathTrie, RestController.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final
from urllib.parse import unquote

from proxy.ground.errors import PlainError, ProxyError
from proxy.rest.request import RestRequest

_METHODS: Final = frozenset(
    ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE", "CONNECT")
)


@dataclass(frozen=True, slots=True)
class Match:
    """The pattern that a path has, and the decoded values of its parameters."""

    pattern: str
    parameters: Mapping[str, str]


class PathTrie:
    """Finds the pattern of a path. At each level a literal comes before a parameter.

    There is no backtracking. Source: PathTrie.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._root = _Node()
        for pattern in patterns:
            node = self._root
            for part in _parts(pattern):
                name = None if part.startswith("{") else part
                node = node.children.setdefault(name, _Node())
            node.pattern = pattern

    def match(self, segments: Sequence[str]) -> Match | None:
        """What these undecoded segments match, None where no pattern fits."""
        node = self._root
        for segment in segments:
            following = node.children.get(segment) or node.children.get(None)
            if following is None:
                return None
            node = following
        if node.pattern is None:
            return None
        values = {
            name: unquote(segments[place], errors="replace")
            for place, name in _parameters(node.pattern)
        }
        return Match(node.pattern, values)


class _Node:
    """A level of the trie, with its next levels by segment; None stands for any segment."""

    def __init__(self) -> None:
        self.children: dict[str | None, _Node] = {}
        self.pattern: str | None = None


@cache
def _parts(pattern: str) -> list[str]:
    return pattern.strip("/").split("/")


@cache
def _parameters(pattern: str) -> list[tuple[int, str]]:
    """Where the parameters of a pattern stand, and their names."""
    parts = enumerate(_parts(pattern))
    return [(place, part.strip("{}")) for place, part in parts if part.startswith("{")]


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
