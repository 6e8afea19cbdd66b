"""Searches on their way upstream: what they need is found out, for all of a request together.

One request may hold many searches, as `_msearch` does. Their texts are embedded with one call for
each endpoint; an error is that of its search only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import orjson

from proxy.errors import IllegalArgument, ProxyError
from proxy.limits.deadline import Deadline
from proxy.semantic.exchange import Exchange
from proxy.semantic.highlights import Shown, taken_over
from proxy.semantic.pits import indices_of
from proxy.semantic.queries import Known, Rewriter
from proxy.semantic.registry import Target
from proxy.semantic.searching import rewritten
from proxy.semantic.vectors import embedded
from proxy.xcontent.times import parse_time

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
    patch: Patch | None = None  # what is done to its answer


@dataclass(slots=True, kw_only=True)
class Prepared:
    """A search for the upstream."""

    body: dict[str, Any]
    target: Target
    shown: Shown = field(default_factory=Shown)
    patch: Patch | None = None


async def prepared(exchange: Exchange, searches: Sequence[Search]) -> list[Prepared | ProxyError]:
    """What to send for each search, or why it fails. Raises: UpstreamError."""
    targets = [await target_of(exchange, one) for one in searches]
    asking = [Rewriter(target, None) for target in targets]
    failed: list[ProxyError | None] = []
    for one, target, rewriter in zip(searches, targets, asking, strict=True):
        failed.append(_problem(one, target, rewriter))
    sound = [n for n, error in enumerate(failed) if error is None]
    wanted = [text for n in sound for text in asking[n].wanted]
    types = await asyncio.gather(*(_types(exchange, searches[n], asking[n].unclear) for n in sound))
    vectors = await embedded(wanted, exchange.parts.endpoints, _deadline(searches))
    known = {n: Known(vectors=vectors, types=found) for n, found in zip(sound, types, strict=True)}
    return [
        error or _rewritten(one, target, known[n])
        for n, (one, target, error) in enumerate(zip(searches, targets, failed, strict=True))
    ]


async def prepared_one(exchange: Exchange, search: Search) -> Prepared:
    """What to send for a search. Raises: ProxyError."""
    made = (await prepared(exchange, [search]))[0]
    if isinstance(made, ProxyError):
        raise made
    return made


def _rewritten(search: Search, target: Target, known: Known) -> Prepared | ProxyError:
    rewriter = Rewriter(target, known)
    try:
        body = rewritten(search.body, rewriter, search.size)
        indices = len(target.fields) if not target.others else -1
        shown = taken_over(body, target.by_path(), indices)
    except ProxyError as error:
        return error
    return Prepared(body=body, target=target, shown=shown, patch=search.patch)


def _problem(search: Search, target: Target, rewriter: Rewriter) -> ProxyError | None:
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
    """What a search goes to, as far as it is local. Raises: UpstreamError."""
    expression = search.expression
    if isinstance(pit := search.body.get("pit"), Mapping):
        expression = ",".join(indices_of(str(pit.get("id"))))
        if not expression:
            return _NOTHING
    local = [part for part in (expression or "_all").split(",") if not _is_remote(part)]
    return await exchange.parts.registry.look_up(",".join(local)) if local else _NOTHING


def remote_of(expression: str | None) -> str | None:
    """The first part of an expression that names indices of another cluster."""
    return next((part for part in (expression or "").split(",") if _is_remote(part)), None)


def _is_remote(part: str) -> bool:
    return ":" in part.replace("::", "") and not part.startswith(("<", "-<"))


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
    found: dict[str, dict[str, str]] = {}
    expression = quote(search.expression or "_all", safe="*,:<>{}+~-")
    for path in paths:
        target = (
            f"/{expression}/_mapping/field/{quote(path, safe='')}"
            "?expand_wildcards=all&ignore_unavailable=true"
        )
        answer = await exchange.parts.upstream.ask_as_proxy("GET", target)
        if answer.status < 300:
            found[path] = _types_in(orjson.loads(answer.body), path)
    return found


def _types_in(document: Mapping[str, Any], path: str) -> dict[str, str]:
    types = {}
    for index, entry in document.items():
        mapping = entry.get("mappings", {}).get(path, {}).get("mapping", {})
        for leaf in mapping.values():
            if isinstance(leaf.get("type"), str):
                types[index] = leaf["type"]
    return types
