"""Searches on their way upstream: what they need is found out, for all of a request together.

One request may hold many searches, as `_msearch` does. Their texts are embedded with one call for
each endpoint; an error is that of its search only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import quote

from proxy.ground.errors import (
    IllegalArgument,
    ProxyError,
    Unauthenticated,
    Unauthorized,
    UpstreamRefusal,
)
from proxy.ground.frames import forget_frames
from proxy.limits.deadline import Deadline
from proxy.semantic import expressions, layout
from proxy.semantic.exchange import Exchange
from proxy.semantic.highlights import Shown
from proxy.semantic.innerhits import all_taken_over
from proxy.semantic.pits import expression_of
from proxy.semantic.queries import Known, Rewriter
from proxy.semantic.registry import Target
from proxy.semantic.searching import rewritten
from proxy.semantic.told import is_forbidden, told_or_nothing
from proxy.semantic.vectors import embedded
from proxy.xcontent.times import parse_time

T = TypeVar("T")
Patch = Callable[[Any], Any]

_TIME: Final = 30.0  # seconds that the texts of searches may take, where nobody says how many
_NOTHING: Final = Target(exists=False, fields={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search as it came, or something else with queries in it."""

    body: Mapping[str, Any]
    expression: str | None  # for its indices; None for all
    size: Any = None  # goes before that of the body
    timeout: str | None = None
    parameters: Mapping[str, str] | None = None  # None for those of the request
    patch: Patch | None = None  # what is done to its answer


@dataclass(slots=True, kw_only=True)
class Prepared:
    """A search for the upstream."""

    body: dict[str, Any]
    target: Target
    shown: Shown = field(default_factory=Shown)
    patch: Patch | None = None

    def patched(self, document: Any) -> Any:
        """The upstream's answer with what only we know."""
        return document if self.patch is None else self.patch(document)


async def prepared(exchange: Exchange, searches: Sequence[Search]) -> list[Prepared | ProxyError]:
    """What to send for each search, or why it fails. Raises: UpstreamError."""
    seen = [await _seen(exchange, one) for one in searches]
    sound = [one for one in seen if isinstance(one, _Seen)]
    wanted = [text for one in sound for text in one.rewriter.wanted]
    unclear = [_types(exchange, one.search, one.rewriter.unclear) for one in sound]
    types = iter(await _results(unclear))
    patterns = [_names(exchange, one.search, one.rewriter.patterns) for one in sound]
    names = iter(await _results(patterns))
    vectors = await embedded(wanted, exchange.parts.endpoints, _deadline(searches))
    return [
        _rewritten(one, Known(vectors=vectors, types=next(types), names=next(names)))
        if isinstance(one, _Seen)
        else one
        for one in seen
    ]


async def _results(works: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """What all of these find out; one alone needs no turns of the event loop for it."""
    return [await works[0]] if len(works) == 1 else await asyncio.gather(*works)


async def prepared_one(exchange: Exchange, search: Search) -> Prepared:
    """What to send for a search. Raises: ProxyError."""
    made = (await prepared(exchange, [search]))[0]
    if isinstance(made, ProxyError):
        raise made
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A search with what its caller may see of its indices; `rewriter` knows what it needs."""

    search: Search
    target: Target
    rewriter: Rewriter


async def _seen(exchange: Exchange, search: Search) -> _Seen | ProxyError:
    """Whether a search is sound, and its caller may have its texts embedded.

    Raises: Unauthenticated, UpstreamError.
    """
    target = await target_of(exchange, search)
    while True:
        rewriter = Rewriter(target, None)
        problem = _problem(search, rewriter)
        if problem is not None or not rewriter.wanted:
            return problem or _Seen(search=search, target=target, rewriter=rewriter)
        try:
            left = await exchange.parts.guard.searchable(exchange.request, target)
        except Unauthenticated:
            raise
        except (Unauthorized, UpstreamRefusal) as error:
            forget_frames(error)
            return error
        if left == target:
            return _Seen(search=search, target=target, rewriter=rewriter)
        target = left


def _rewritten(seen: _Seen, known: Known) -> Prepared | ProxyError:
    search, target = seen.search, seen.target
    rewriter = Rewriter(target, known)
    try:
        body = rewritten(search.body, rewriter, search.size)
        indices = len(target.fields) if not target.others else -1
        body, shown = all_taken_over(body, target.by_path(), indices)
    except ProxyError as error:
        return error
    return Prepared(body=body, target=target, shown=shown, patch=search.patch)


def _problem(search: Search, rewriter: Rewriter) -> ProxyError | None:
    """What is wrong with a search, if anything is; `rewriter` learns what it needs."""
    try:
        rewritten(search.body, rewriter, search.size)
        if rewriter.wanted and remote_of(search.expression):
            raise IllegalArgument(
                "searches by meaning are not possible in remote clusters through the proxy, "
                f"as [{remote_of(search.expression)}] asks for"
            )
    except ProxyError as error:
        return error
    except RecursionError:
        return IllegalArgument("the search has too many levels")
    return None


async def target_of(exchange: Exchange, search: Search) -> Target:
    """What a search goes to. Raises: UpstreamError."""
    expression = search.expression
    if isinstance(pit := search.body.get("pit"), Mapping):
        expression = expression_of(str(pit.get("id")))
        if not expression:
            return _NOTHING
    return await exchange.parts.registry.look_up(expression or "_all")


def remote_of(expression: str | None) -> str | None:
    """The first part of an expression that names indices of another cluster."""
    parts = expressions.parts_of(expression or "")
    return next((part for part in parts if expressions.is_remote(part)), None)


def _deadline(searches: Sequence[Search]) -> Deadline:
    """When the last of the searches is out of time."""
    seconds = [_seconds(one) for one in searches]
    return Deadline.after(-1 if -1 in seconds else max(seconds, default=_TIME))


def _seconds(search: Search) -> float:
    text = search.body.get("timeout", search.timeout)
    try:
        return _TIME if not isinstance(text, str) else parse_time(text, "timeout")
    except ProxyError:
        return _TIME  # the upstream says what is wrong with it


async def _types(
    exchange: Exchange, search: Search, paths: Mapping[str, Any]
) -> dict[str, dict[str, str]]:
    """The types of fields, by path and index. Raises: UpstreamError."""
    return {path: _types_in(await _mappings(exchange, search, path), path) for path in paths}


async def _names(
    exchange: Exchange, search: Search, patterns: Mapping[str, Any]
) -> dict[str, list[str]]:
    """The names that patterns stand for, but for those of ours. Raises: UpstreamError."""
    found = {}
    for pattern in patterns:
        entries = (await _mappings(exchange, search, pattern)).values()
        names = {name for entry in entries for name in entry.get("mappings", {})}
        found[pattern] = sorted(name for name in names if not layout.is_ours(name))
    return found


async def _mappings(exchange: Exchange, search: Search, name: str) -> dict[str, Any]:
    """The mappings of fields of that name or pattern, by index. Raises: UpstreamError."""
    expression = expressions.in_path(search.expression or expressions.EVERYTHING)
    target = (
        f"/{expression}/_mapping/field/{quote(name, safe='')}"
        "?expand_wildcards=all&ignore_unavailable=true"
    )
    answer = await exchange.parts.upstream.ask_as_proxy("GET", target)
    return {} if is_forbidden(answer) else told_or_nothing(answer)


def _types_in(document: Mapping[str, Any], path: str) -> dict[str, str]:
    types = {}
    for index, entry in document.items():
        mapping = entry.get("mappings", {}).get(path, {}).get("mapping", {})
        for leaf in mapping.values():
            if isinstance(leaf.get("type"), str):
                types[index] = leaf["type"]
    return types
