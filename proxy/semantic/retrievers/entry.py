"""Where searches come in: which of them have retrievers to evaluate, and for whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

from proxy.ground.errors import IllegalArgument, ProxyError
from proxy.limits.deadline import Deadline
from proxy.rest.parameters import read_boolean, whole_number
from proxy.semantic.answerjson import AT_ONCE
from proxy.semantic.exchange import Exchange
from proxy.semantic.preparing import Prepared, Search, prepared, remote_of, target_of
from proxy.semantic.retrievers.handling import Defaults, all_queries, resolved, spelled_out
from proxy.semantic.retrievers.leaves import without_retriever
from proxy.semantic.retrievers.ranks import with_retriever
from proxy.semantic.retrievers.remembering import RememberingEndpoints
from proxy.semantic.retrievers.reranking import DEFAULT_ID
from proxy.semantic.retrievers.searches import Searches
from proxy.semantic.retrievers.simplified import expanded
from proxy.semantic.retrievers.tree import (
    Fusing,
    Reranker,
    Retriever,
    has_compound,
    parse_tree,
)
from proxy.semantic.retrievers.validation import children, validate
from proxy.semantic.told import is_forbidden, told_or_nothing
from proxy.xcontent.document import Bounds, Document, Node
from proxy.xcontent.jsonreader import parse_json
from proxy.xcontent.writing import dump_json

_TIME: Final = 30.0  # seconds that a provider may take. Source: InferenceAction.Request
_IN_URL: Final = ("size", "from", "explain", "track_total_hits")  # each overrides the body
_BOUNDS: Final = Bounds(nesting=1000, values=1_000_000)  # of what has been read once already
_DEFAULTS: Final = (
    "/{}/_settings/index.query.default_field?flat_settings=true&ignore_unavailable=true"
)


async def evaluated(
    exchange: Exchange, searches: Sequence[Search]
) -> tuple[Exchange, list[Prepared | ProxyError]]:
    """What to send for each search, its retrievers evaluated where the upstream cannot, and how.

    Raises: UpstreamError.
    """
    entered = [await _entered(exchange, one) for one in searches]
    if any(isinstance(one, _Entry) for one in entered):
        exchange = _inner(exchange)
        # All texts are embedded in one call, whatever searches have them.
        entries = [one for one in entered if isinstance(one, _Entry)]
        await prepared(exchange, [one.all_queries() for one in entries])
    made = [await one.resolved(exchange) if isinstance(one, _Entry) else one for one in entered]
    answers = iter(await prepared(exchange, [one for one in made if isinstance(one, Search)]))
    results = [one if isinstance(one, ProxyError) else next(answers) for one in made]
    for one in results:
        if isinstance(one, Prepared):
            one.body = await _understood(exchange, one.body)
    return exchange, results


async def _understood(exchange: Exchange, body: dict[str, Any]) -> dict[str, Any]:
    """A search that its upstream understands, though it is an early one. Raises: UpstreamError."""
    if "retriever" not in body or await exchange.parts.release.knows_retrievers():
        return body
    return without_retriever(body)


async def _entered(exchange: Exchange, search: Search) -> _Entry | Search | ProxyError:
    """A search with its tree, if it has one for us, or what is wrong with that."""
    try:
        body = with_retriever(search.body)
        if not has_compound(body):
            return search
        tree = parse_tree(_document(exchange, body["retriever"]))
        return await _entry(exchange, replace(search, body=body), tree) or search
    except ProxyError as error:
        return error


def _member(node: Node | None, name: str) -> Node | None:
    found = node.value.get(name) if node is not None and node.kind == "START_OBJECT" else None
    return found if isinstance(found, Node) else None


def _document(exchange: Exchange, retriever: Any) -> Document:
    """The document that a retriever stands in: the request's own, so that errors name its lines."""
    if exchange.body is not None and len(exchange.body.data) <= AT_ONCE:
        document = exchange.body.document(lone_surrogates=True)
        own = _member(document.root, "retriever")
        if own is not None and own.plain() == retriever:
            return document
    return parse_json(dump_json({"retriever": retriever}), _BOUNDS, lone_surrogates=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A search whose retrievers are evaluated here, its tree spelled out."""

    search: Search
    tree: Retriever

    def all_queries(self) -> Search:
        return replace(self.search, body=all_queries(self.tree, self.search.body))

    async def resolved(self, exchange: Exchange) -> Search | ProxyError:
        """The search with what its retrievers found in their place."""

        async def rewrite(bodies: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
            given = self.search.body  # at a point in time, that says which indices are searched
            shared = {"pit": given["pit"]} if "pit" in given else {}
            expression = self.search.expression
            searches = [Search(body={**one, **shared}, expression=expression) for one in bodies]
            return [_sound(one).body for one in await prepared(exchange, searches)]

        try:
            found = await resolved(
                self.tree,
                self.search.body,
                searches=_searches(exchange, self.search),
                rewrite=rewrite,
                endpoints=exchange.parts.endpoints,
                deadline=Deadline.after(_TIME),
            )
        except ProxyError as error:
            return error
        patch = found.patch if found.explanations else None
        return replace(self.search, body=found.body, patch=patch)


def _sound(made: Prepared | ProxyError) -> Prepared:
    if isinstance(made, ProxyError):
        raise made
    return made


async def _entry(exchange: Exchange, search: Search, tree: Retriever) -> _Entry | None:
    """The search as it is evaluated; None if the upstream can do that itself.

    Raises: ProxyError.
    """
    parameters = _parameters(exchange, search)
    body = {**search.body, **_of_url(parameters)}
    size = body.get("size", -1)
    validate(tree, body, parameters, size if isinstance(size, int) else -1)
    target = await target_of(exchange, search)
    if not target.fields and await _is_for_upstream(exchange, tree):
        return None
    defaults = await _defaults(exchange, search.expression, tree)
    tree = spelled_out(tree, lambda one: expanded(one, target, defaults))
    return _Entry(search=replace(search, body=body, size=None), tree=tree)


def _of_url(parameters: Mapping[str, str]) -> dict[str, Any]:
    """What the URL says in place of the body."""
    found: dict[str, Any] = {}
    for name in ("size", "from"):
        if (number := whole_number(parameters.get(name, ""))) is not None:
            found[name] = number
    if "explain" in parameters:
        found["explain"] = read_boolean(parameters, "explain")
    if (limit := parameters.get("track_total_hits")) is not None:
        number = whole_number(limit)
        found["track_total_hits"] = limit != "false" if number is None else number
    return found


def _inner(exchange: Exchange) -> Exchange:
    """The exchange for a body that holds what the URL said, and whose texts are embedded once."""
    parameters = {
        name: value for name, value in exchange.rest.parameters.items() if name not in _IN_URL
    }
    parts = exchange.parts
    remembering = replace(parts, endpoints=RememberingEndpoints(parts.endpoints))
    return replace(exchange.with_parameters(parameters), parts=remembering)


def _searches(exchange: Exchange, search: Search) -> Searches:
    async def ask(method: str, target: str, body: bytes) -> Any:
        return await exchange.parts.upstream.ask_as_caller(exchange.request, method, target, body)

    return Searches(ask, search.expression, _parameters(exchange, search))


def _parameters(exchange: Exchange, search: Search) -> Mapping[str, str]:
    return exchange.rest.parameters if search.parameters is None else search.parameters


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


async def _defaults(exchange: Exchange, expression: str | None, tree: Retriever) -> Defaults:
    """The default fields by index, as far as the tree asks for them.

    Raises: IllegalArgument for indices of other clusters.
    """
    asking: list[Fusing] = []

    def note(one: Fusing) -> Retriever:
        asking.append(one)
        return one

    spelled_out(tree, note)
    if asking and remote_of(expression):
        raise IllegalArgument(
            f"[{asking[0].name}] cannot specify [query] when querying remote indices"
        )
    if not any(one.simplified.fields is None for one in asking):
        return {}
    target = _DEFAULTS.format(quote(expression or "_all", safe="*,<>{}+~-"))
    answer = await exchange.parts.upstream.ask_as_proxy("GET", target)
    found = {} if is_forbidden(answer) else told_or_nothing(answer)
    settings = {name: one["settings"]["index.query.default_field"] for name, one in found.items()}
    return {name: [one] if isinstance(one, str) else one for name, one in settings.items()}
