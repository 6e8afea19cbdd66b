"""Requests that search, and others that hold queries.

Source: RestSearchAction, RestMultiSearchAction, RestSearchTemplateAction, RestCountAction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from aiohttp import web

from proxy.ground.errors import ProxyError
from proxy.limits.threads import offload
from proxy.rest.parameters import whole_number
from proxy.semantic.answerjson import AT_ONCE, object_of
from proxy.semantic.answers import is_about_ours, presentable, rewording
from proxy.semantic.asked import Asked
from proxy.semantic.asyncsearches import is_async, remembering, taken_out
from proxy.semantic.encodedanswers import cutting
from proxy.semantic.exchange import Exchange
from proxy.semantic.ports import UpstreamAnswer
from proxy.semantic.preparing import Prepared, Search, prepared_one
from proxy.semantic.reading import Showing, cut, showing
from proxy.semantic.retrievers.entry import evaluated
from proxy.semantic.scrolls import with_asked
from proxy.semantic.shownhits import Where, show_chunks
from proxy.semantic.sourcefilters import is_in_url, url_with
from proxy.xcontent.writing import dump_json

_SCROLL_SIZE: Final = 1000  # documents that `_delete_by_query` finds at once, if not told otherwise
_FOR_HITS: Final = ("highlight", "fields")
_DOC_VALUES: Final = "docvalue_fields"  # of the URL are added to those of the body


async def search(exchange: Exchange) -> web.StreamResponse:
    """One search."""
    body = await body_of(exchange, alone=True)
    if body is None:
        return await exchange.hand_on_unread()
    parameters = dict(exchange.rest.parameters)
    if "*" in parameters.get(_DOC_VALUES, "") and isinstance(body.get(_DOC_VALUES, []), list):
        body[_DOC_VALUES] = [*body.get(_DOC_VALUES, []), *parameters.pop(_DOC_VALUES).split(",")]
        exchange = exchange.with_parameters(parameters)
    return await answered(exchange, body, exchange.names.get("index"))


async def answered(
    exchange: Exchange, body: Mapping[str, Any], expression: str | None, *, is_sent: bool = False
) -> web.StreamResponse:
    """The answer to a search with this body, which is sent in any case with `is_sent`.

    Raises: ProxyError.
    """
    parameters = exchange.rest.parameters
    exchange, (made,) = await evaluated(exchange, [_search_of(body, expression, parameters)])
    if isinstance(made, ProxyError):
        raise made
    if not made.target.fields and made.body == body and not is_sent:
        return await exchange.hand_on_as_plain(made.target)
    path = exchange.rest.path.rstrip("/").removesuffix("/template")
    shown = Showing(body=made.body, parameters=exchange.rest.parameters, replacement=None)
    if made.target.fields:
        shown = await showing(exchange, made.body, made.target)
    asked = Asked.of(made.shown, Where.of(expression, exchange.rest.parameters, body))
    if is_async(path):
        shown = replace(shown, body=remembering(shown.body, asked))
    is_patched = bool(shown.late) or _is_patched(exchange, made, asked)
    answer = await exchange.ask_unless_large(
        dump_json(shown.body),
        target=_target(exchange, path, shown.parameters),
        too_large=None if is_patched else cutting(shown.replacement),
    )
    if isinstance(answer, web.StreamResponse):
        return answer
    if shown.is_refused(answer):
        unfiltered = shown.unfiltered()
        target = _target(exchange, path, unfiltered.parameters)
        answer = await cut(await exchange.ask(dump_json(unfiltered.body), target=target))
    elif shown.replacement is not None and answer.status < 300:
        answer = await cut(answer, shown.replacement, shown.late)
    return await answer_for(exchange, answer, made, asked)


def _search_of(
    body: Mapping[str, Any], expression: str | None, parameters: Mapping[str, str]
) -> Search:
    return Search(
        body=body,
        expression=expression,
        size=whole_number(parameters.get("size", "")),
        timeout=parameters.get("timeout"),
    )


async def answer_for(
    exchange: Exchange, answer: UpstreamAnswer, made: Prepared, asked: Asked
) -> web.StreamResponse:
    """The upstream's answer to a prepared search, as Elasticsearch would give it."""
    is_patched = _is_patched(exchange, made, asked)
    if answer.status < 300 and not is_patched and not is_about_ours(answer.body):
        return await exchange.as_is(answer)
    document = await offload(
        len(answer.body),
        AT_ONCE,
        lambda: presentable(made.patched(object_of(answer)), _words(made)),
    )
    taken_out(document)
    await show_chunks(exchange, document, made.shown, asked.where)
    if asked and isinstance(scroll := document.get("_scroll_id"), str):
        document["_scroll_id"] = with_asked(scroll, asked)
    return await exchange.answer(answer, document)


def _is_patched(exchange: Exchange, made: Prepared, asked: Asked) -> bool:
    """Whether the answer to a search is to show what only we can."""
    is_scroll = bool(asked) and "scroll" in exchange.rest.parameters
    return bool(made.shown) or made.patch is not None or is_scroll


def _words(made: Prepared) -> Callable[[str], str]:
    return rewording(made.target.by_path(), made.shown.formats)


async def body_of(exchange: Exchange, *, alone: bool = False) -> dict[str, Any] | None:
    """The body of a search; None where it cannot be read. See `Exchange.document`."""
    if "source" in exchange.rest.parameters:  # which has not been taken for the body
        return None
    if not await exchange.read():
        return {}
    exchange.refuse_smile()
    document = await exchange.document(alone=alone)
    return document if isinstance(document, dict) else None


def _target(exchange: Exchange, path: str, parameters: Mapping[str, str] | None = None) -> str:
    """The target of a search whose body is sent as such; `parameters` replace the request's."""
    given = exchange.rest.parameters if parameters is None else parameters
    _, _, query = exchange.target_with(given).partition("?")
    return f"{path}?{query}" if query else path


# --- queries alone


def querying(
    size: Callable[[Exchange], Any],
) -> Callable[[Exchange], Awaitable[web.StreamResponse]]:
    """The handler of a request whose body has a query; `size` is how many documents it looks for.

    None stands for as few as there can be.
    """

    async def handle(exchange: Exchange) -> web.StreamResponse:
        body = await body_of(exchange)
        if body is None:
            return await exchange.hand_on_unread()
        expression = exchange.names.get("index")
        search = Search(body=body, expression=expression, size=size(exchange))
        made = await prepared_one(exchange, search)
        if not made.target.fields and made.body == body:
            return await exchange.hand_on_as_plain(made.target)
        parameters = exchange.rest.parameters
        if is_in_url(parameters):
            parameters = url_with(parameters)
        target = _target(exchange, exchange.rest.path, parameters)
        sent = _query_of(made, body)
        has_body = sent or await exchange.read()
        answer = await exchange.ask(dump_json(sent) if has_body else None, target=target)
        words = _words(made)
        return await exchange.patched(answer, lambda document: presentable(document, words))

    return handle


async def queried(exchange: Exchange) -> bytes | None:
    """The body of a request with its queries rewritten; None for none. Raises: ProxyError."""
    body = await body_of(exchange)
    if not body:
        return await exchange.read() or None
    search = Search(body=body, expression=exchange.names.get("index"))
    return dump_json(_query_of(await prepared_one(exchange, search), body))


def _query_of(made: Prepared, body: Mapping[str, Any]) -> dict[str, Any]:
    """What was made of a body that has no hits to show: the upstream refuses what is for them."""
    return made.body | {name: body[name] for name in _FOR_HITS if name in body}


def few(exchange: Exchange) -> int:
    """So many documents as a request without a size of its own finds."""
    return 0


async def translated(
    exchange: Exchange, expression: str, body: Mapping[str, Any], size: int
) -> dict[str, Any]:
    """A search for documents of which `size` at a time are worked through, as it goes upstream."""
    search = Search(body=body, expression=expression, size=size, parameters={})
    return (await prepared_one(exchange, search)).body


def scrolled(exchange: Exchange) -> int:
    """So many documents as a request finds that works through all of them."""
    size = whole_number(exchange.rest.parameters.get("scroll_size", ""))
    return _SCROLL_SIZE if size is None else size


async def validate(exchange: Exchange) -> web.StreamResponse:
    """Whether a query can be run. Source: TransportValidateQueryAction."""
    try:
        return await querying(few)(exchange)
    except ProxyError as error:
        document: dict[str, Any] = {
            "_shards": {"total": 0, "successful": 0, "failed": 0},
            "valid": False,
        }
        if exchange.rest.parameters.get("explain") in ("", "true"):
            document["explanations"] = [{"valid": False, "error": error.reason}]
        return await exchange.made(200, document)
