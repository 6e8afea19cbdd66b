"""Further pages of searches that have begun: of scrolls, and what asynchronous ones have found.

Source: RestSearchScrollAction, RestClearScrollAction, RestGetAsyncSearchAction.
"""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from proxy.limits.threads import offload
from proxy.semantic import layout
from proxy.semantic.answerjson import AT_ONCE, document_of
from proxy.semantic.answers import is_about_ours, presentable, rewording
from proxy.semantic.encodedanswers import names_us
from proxy.semantic.exchange import Exchange
from proxy.semantic.inferencefields import inference_fields
from proxy.semantic.ports import UpstreamAnswer
from proxy.semantic.reading import cut
from proxy.semantic.scrolls import Asked, again, asked_by, own, says_more
from proxy.semantic.searches import body_of
from proxy.semantic.shownhits import show_chunks
from proxy.xcontent.loading import load_json

_SCROLL: Final = "/_search/scroll"
_ID: Final = "scroll_id"


async def next_page(exchange: Exchange) -> web.StreamResponse:
    """The next page of a scroll."""
    body = await body_of(exchange) or {}
    scroll_id = body.get(_ID, exchange.rest.parameters.get(_ID, exchange.names.get("id")))
    if not isinstance(scroll_id, str) or (asked := asked_by(scroll_id)) is None:
        return await further(exchange)
    body[_ID] = own(scroll_id)
    answer = await exchange.ask(body, target=_target(exchange), method="POST")
    return await _answered(exchange, answer, scroll_id, asked)


async def further(exchange: Exchange) -> web.StreamResponse:
    """What a search has found by now; what it was asked to show of chunks is not known any more."""
    await exchange.read()
    found = await exchange.hand_on_unless(_may_differ if exchange.wants_json else names_us)
    if isinstance(found, web.StreamResponse):
        return found
    return await _answered(exchange, await exchange.in_json(found), "", None)


def _may_differ(answer: bytes) -> bool:
    """Whether an answer may have to be changed."""
    if b'"error"' not in answer or len(answer) > AT_ONCE:
        return is_about_ours(answer)
    try:
        document = load_json(answer)
    except ValueError:
        return True
    return bool(presentable(document, rewording({}, {})) != document)


async def _with_vectors(exchange: Exchange, answer: UpstreamAnswer) -> UpstreamAnswer:
    """A page whose sources hold what the layer added, as its search has asked for vectors."""
    if answer.status >= 300 or not is_about_ours(answer.body):
        return answer
    indices = await offload(len(answer.body), AT_ONCE, lambda: _indices_in(document_of(answer)))
    if not indices:
        return answer
    found = await exchange.parts.registry.look_up(",".join(sorted(indices)))
    return await cut(answer, inference_fields(found.fields))


def _indices_in(document: Any) -> set[str]:
    """The indices of documents that are shown with what the layer added."""
    page = document.get("response", document)
    return {
        hit["_index"]
        for hit in page.get("hits", {}).get("hits", ())
        if layout.CONTAINER in hit.get("_source", ())
    }


async def _answered(
    exchange: Exchange, answer: Any, scroll_id: str, asked: Asked | None
) -> web.StreamResponse:
    answer = await _with_vectors(exchange, answer)
    if answer.status < 300 and asked is None and not is_about_ours(answer.body):
        return await exchange.as_is(answer)
    document = await offload(
        len(answer.body), AT_ONCE, lambda: presentable(document_of(answer), rewording({}, {}))
    )
    if asked is not None and isinstance(document, dict) and "hits" in document:
        found = await exchange.parts.registry.look_up(asked.where.expression or "_all")
        await show_chunks(exchange, document, asked.restored(found.by_path()), asked.where)
        document["_scroll_id"] = again(str(document.get("_scroll_id")), scroll_id)
    return await exchange.answer(answer, document)


async def clear_scrolls(exchange: Exchange) -> web.StreamResponse:
    """The end of scrolls, whose ids may say more than the upstream knows."""
    data = await exchange.read()
    named = exchange.rest.parameters.get(_ID, exchange.names.get("id", ""))
    if not says_more(data.decode(errors="replace") + named):
        return await exchange.hand_on()
    body = await body_of(exchange) or {}
    given = body.get(_ID, named)
    ids = given if isinstance(given, list) else [given]
    cleared = {_ID: [own(one) if isinstance(one, str) else one for one in ids]}
    answer = await exchange.ask({**body, **cleared}, target=_target(exchange))
    return await exchange.as_is(answer)


def _target(exchange: Exchange) -> str:
    """The target of a request whose id stands in its body."""
    kept = {name: text for name, text in exchange.rest.parameters.items() if name != _ID}
    query = exchange.target_with(kept).partition("?")[2] if kept else ""
    return f"{_SCROLL}?{query}" if query else _SCROLL
