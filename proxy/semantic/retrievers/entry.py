"""Where searches come in: which of them have retrievers to evaluate, and for whom."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

import orjson

from proxy.errors import IllegalArgument
from proxy.inference.endpoints import InferenceEndpoint
from proxy.limits.deadline import Deadline
from proxy.rest.parameters import read_boolean
from proxy.semantic.exchange import Exchange
from proxy.semantic.ports import Endpoints
from proxy.semantic.registry import Target
from proxy.semantic.retrievers.handling import Defaults, Resolved, Resolver, spelled_out
from proxy.semantic.retrievers.reranking import DEFAULT_ID
from proxy.semantic.retrievers.searches import Searches
from proxy.semantic.retrievers.tree import (
    Fusing,
    Reranker,
    Retriever,
    has_compound,
    parse_tree,
)
from proxy.semantic.retrievers.validation import children, validate

Rewriting = Callable[[Exchange, Mapping[str, Any], Target], Awaitable[Mapping[str, Any]]]

_TIME: Final = 30.0  # seconds that a provider may take. Source: InferenceAction.Request
_IN_URL: Final = ("size", "from", "explain", "track_total_hits")  # each overrides the body
_DEFAULTS: Final = (
    "/{}/_settings/index.query.default_field?flat_settings=true&ignore_unavailable=true"
)


class RememberingEndpoints:
    """Endpoints that embed each text once, however often a request has it."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._known: dict[tuple[str, str], list[float]] = {}

    async def find(self, inference_id: str) -> InferenceEndpoint | None:
        return await self._endpoints.find(inference_id)

    async def embed(
        self, endpoint: InferenceEndpoint, texts: Sequence[str], deadline: Deadline
    ) -> list[list[float]]:
        keys = [(endpoint.inference_id, text) for text in texts]
        missing = list(dict.fromkeys(key for key in keys if key not in self._known))
        if missing:
            vectors = await self._endpoints.embed(endpoint, [text for _, text in missing], deadline)
            self._known.update(zip(missing, vectors, strict=True))
        return [self._known[key] for key in keys]

    async def rerank(
        self, endpoint: InferenceEndpoint, query: str, documents: Sequence[str], deadline: Deadline
    ) -> list[tuple[int, float]]:
        return await self._endpoints.rerank(endpoint, query, documents, deadline)


@dataclass(frozen=True, slots=True)
class Entered:
    """A search on its way: as it came, or with what its retrievers found in their place."""

    exchange: Exchange
    body: Mapping[str, Any]
    resolved: Resolved | None = None

    def patch(self, document: Any) -> Any:
        """The upstream's answer as the caller gets it."""
        return document if self.resolved is None else self.resolved.patch(document)

    @property
    def patches(self) -> bool:
        return self.resolved is not None and bool(self.resolved.explanations)


async def entered(
    exchange: Exchange, body: Mapping[str, Any], target: Target, rewriting: Rewriting
) -> Entered:
    """Evaluate the retrievers of a search that the upstream cannot; nothing is done without any.

    `rewriting` is what makes a body's queries such that any Elasticsearch takes them.
    Raises: ProxyError.
    """
    if not has_compound(body) or exchange.body is None:
        return Entered(exchange, body)
    tree = parse_tree(exchange.body.document())
    parameters = exchange.rest.parameters
    body = {**body, **_of_url(parameters)}
    validate(tree, body, parameters, body.get("size", -1))
    if not target.fields and await _is_for_upstream(exchange, tree):
        return Entered(exchange, body)
    exchange = _inner(exchange)

    async def rewrite(search: Mapping[str, Any]) -> Mapping[str, Any]:
        return await rewriting(exchange, search, target)

    resolver = Resolver(
        searches=_searches(exchange),
        rewrite=rewrite,
        endpoints=exchange.parts.endpoints,
        deadline=Deadline.after(_TIME),
        target=target,
        defaults=await _defaults(exchange, tree),
    )
    resolved = await resolver.resolved(tree, body)
    return Entered(exchange, resolved.body, resolved)


def _of_url(parameters: Mapping[str, str]) -> dict[str, Any]:
    """What the URL says in place of the body."""
    found: dict[str, Any] = {}
    for name in ("size", "from"):
        if parameters.get(name, "").isdecimal():
            found[name] = int(parameters[name])
    if "explain" in parameters:
        found["explain"] = read_boolean(parameters, "explain")
    if (limit := parameters.get("track_total_hits")) is not None:
        found["track_total_hits"] = int(limit) if limit.isdecimal() else limit != "false"
    return found


def _inner(exchange: Exchange) -> Exchange:
    """The exchange for a body that holds what the URL said, and whose texts are embedded once."""
    parameters = {
        name: value for name, value in exchange.rest.parameters.items() if name not in _IN_URL
    }
    parts = exchange.parts
    return replace(
        exchange,
        rest=replace(exchange.rest, parameters=parameters),
        parts=replace(parts, endpoints=RememberingEndpoints(parts.endpoints)),
    )


def _searches(exchange: Exchange) -> Searches:
    async def ask(method: str, target: str, body: bytes) -> Any:
        return await exchange.parts.upstream.ask_as_caller(exchange.request, method, target, body)

    return Searches(ask, exchange.names.get("index"), exchange.rest.parameters)


async def _is_for_upstream(exchange: Exchange, tree: Retriever) -> bool:
    """Whether the upstream can evaluate a tree over indices that hold nothing of ours."""
    parts = exchange.parts
    for reranker in _rerankers(tree):
        if await parts.endpoints.find(reranker.inference_id or DEFAULT_ID) is not None:
            return False
    return await parts.abilities.can_fuse()


def _rerankers(tree: Retriever) -> list[Reranker]:
    below = [found for child in children(tree) for found in _rerankers(child)]
    return [tree, *below] if isinstance(tree, Reranker) else below


async def _defaults(exchange: Exchange, tree: Retriever) -> Defaults:
    """The default fields by index, as far as the tree asks for them.

    Raises: IllegalArgument for indices of other clusters.
    """
    asking: list[Fusing] = []

    def note(one: Fusing) -> Retriever:
        asking.append(one)
        return one

    spelled_out(tree, note)
    index = exchange.names.get("index") or "_all"
    if asking and ":" in index:
        raise IllegalArgument(
            f"[{asking[0].name}] cannot specify [query] when querying remote indices"
        )
    if not any(one.simplified.fields is None for one in asking):
        return {}
    target = _DEFAULTS.format(quote(index, safe="*,<>{}+~-"))
    answer = await exchange.parts.upstream.ask_as_proxy("GET", target)
    if answer.status != 200:
        return {}
    found: dict[str, Any] = orjson.loads(answer.body)
    settings = {name: one["settings"]["index.query.default_field"] for name, one in found.items()}
    return {name: [one] if isinstance(one, str) else one for name, one in settings.items()}
