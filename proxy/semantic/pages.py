"""Further pages of searches that have begun: of scrolls, and what asynchronous ones have found.

Source: RestSearchScrollAction, RestClearScrollAction, RestGetAsyncSearchAction.
"""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from proxy.limits.threads import offload
from proxy.semantic import layout
from proxy.semantic.answerjson import AT_ONCE, document_of
from proxy.semantic.answers import hits_of, is_about_ours, presentable, rewording
from proxy.semantic.asked import Asked
from proxy.semantic.asyncsearches import taken_out
from proxy.semantic.encodedanswers import cutting, names_us
from proxy.semantic.exchange import Exchange
from proxy.semantic.inferencefields import inference_fields
from proxy.semantic.ports import UpstreamAnswer
from proxy.semantic.reading import cut
from proxy.semantic.scrolls import again, asked_by, own, says_more
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
        return await _unless_ours(exchange)
    body[_ID] = own(scroll_id)
    answer = await exchange.ask(body, target=_target(exchange), method="POST")
    document = await _read(exchange, answer)
    if isinstance(document, dict) and "hits" in document:
        document = await _shown(exchange, document, asked)
        if isinstance(following := document.get("_scroll_id"), str):  # the last page has none
            document["_scroll_id"] = again(following, scroll_id)
    return await exchange.answer(answer, document)


async def found_so_far(exchange: Exchange) -> web.StreamResponse:
    """What an asynchronous search has found by now."""
    return await _unless_ours(exchange, is_whole="filter_path" not in exchange.rest.parameters)


async def _unless_ours(exchange: Exchange, *, is_whole: bool = True) -> web.StreamResponse:
    """The upstream's answer, which may tell of us; all of it is asked for unless it `is_whole`."""
    await exchange.read()
    if is_whole:
        is_told = _may_differ if exchange.wants_json else names_us
        found = await exchange.hand_on_unless(is_told, too_large=cutting())
        if isinstance(found, web.StreamResponse):
            return found
        answer = await exchange.in_json(found)
    else:
        answer = await exchange.ask()
    if answer.status < 300 and not is_about_ours(answer.body):
        return await exchange.as_is(answer)
    document = await _read(exchange, answer)
    asked = taken_out(document)
    if asked is not None:
        document = await _shown(exchange, document, asked)
    return await exchange.answer(answer, document)


def _may_differ(answer: bytes) -> bool:
    """Whether an answer may have to be changed."""
    if b'"error"' not in answer or len(answer) > AT_ONCE:
        return is_about_ours(answer)
    try:
        document = load_json(answer)
    except ValueError:
        return True
    return bool(presentable(document, rewording({}, {})) != document)


async def _read(exchange: Exchange, answer: UpstreamAnswer) -> Any:
    """An answer without anything of ours, of which no more is known than that it is later."""
    answer = await _with_vectors(exchange, answer)
    return await offload(
        len(answer.body), AT_ONCE, lambda: presentable(document_of(answer), rewording({}, {}))
    )


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
    return {
        hit["_index"] for hit in hits_of(document) if layout.CONTAINER in hit.get("_source", ())
    }


async def _shown(exchange: Exchange, document: Any, asked: Asked) -> Any:
    """What has been read of an answer, with what its search asked for. Raises: UpstreamError."""
    found = await exchange.parts.registry.look_up(asked.where.expression or "_all")
    shown = asked.restored(found.by_path())
    document = presentable(document, rewording(found.by_path(), shown.formats))
    await show_chunks(exchange, document, shown, asked.where)
    return document


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
