"""Which route a raw path leads to, and what Elasticsearch says when it leads nowhere.

Source: PathTrie, RestController.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from proxy.errors import PlainError, ProxyError
from proxy.rest.request import RestRequest

_METHODS: Final = (
    *("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE", "CONNECT"),
)


# Routes


class NoRoute(Exception):
    """No route of the `_inference` API has this path."""


@dataclass(frozen=True, slots=True)
class Match:
    """Where a path leads: its parameters, and a value per method."""

    pattern: str
    parameters: dict[str, str]


def match_path(segments: Sequence[str], patterns: Mapping[str, Any]) -> Match:
    """The pattern of a path. Literals beat parameters at each level and there is no way back.

    Raises: NoRoute. Source: PathTrie.
    """
    parts = {pattern: pattern.strip("/").split("/") for pattern in patterns}
    candidates = list(parts)
    for level, segment in enumerate(segments):
        there = [c for c in candidates if len(parts[c]) > level]
        literal = [c for c in there if parts[c][level] == segment]
        candidates = literal or [c for c in there if parts[c][level].startswith("{")]
    found = [c for c in candidates if len(parts[c]) == len(segments)]
    if not found:
        raise NoRoute
    names = {
        part.strip("{}"): unquote(segment, errors="replace")
        for part, segment in zip(parts[found[0]], segments, strict=True)
        if part.startswith("{")
    }
    return Match(found[0], names)


def wrong_method(request: RestRequest, allowed: Sequence[str]) -> ProxyError:
    """405 with the methods that the path takes."""
    known = request.method in _METHODS
    uri = f"for uri [{request.target}] and method [{request.method}]"
    problem = (
        f"Incorrect HTTP method {uri}" if known else (f"Unexpected http method: {request.method}")
    )
    return PlainError(
        405,
        f"{problem}, allowed: [{', '.join(allowed)}]",
        headers=[("Allow", ",".join(allowed))],
    )


def no_handler(request: RestRequest) -> ProxyError:
    """400 for a path that leads nowhere, at least not here."""
    error = PlainError(
        400,
        f"no handler found for uri [{request.target}] and method [{request.method}]",
        show_status=False,
    )
    error.not_ours = True
    return error
