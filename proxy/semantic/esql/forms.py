"""Answers to ES|QL queries in other forms than JSON, without columns of what the layer has added.

What is a table, of text or of Arrow's, cannot be cut as it passes. So the upstream is asked which
columns a query has, and then for those of the user's own.
Source: EsqlMediaTypeParser, EsqlResponseListener.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from proxy.ground.errors import IllegalArgument, PlainError
from proxy.limits.threads import offload
from proxy.rest.request import RestRequest
from proxy.semantic import layout
from proxy.semantic.answerjson import AT_ONCE, document_in, object_of
from proxy.semantic.documents import with_replaced
from proxy.semantic.encodedanswers import names_us
from proxy.semantic.exchange import Exchange
from proxy.semantic.hiding import hide_in_error
from proxy.semantic.ports import Change
from proxy.xcontent.writing import dump_json

_QUERY: Final = "/_query"
_TABLES: Final = ("arrow", "csv", "tab-separated", "text/plain", "tsv", "txt")
# Of a body whose answer may come later.
_OF_ASYNC: Final = ("keep_alive", "keep_on_completion", "wait_for_completion_timeout")
_SOURCE: Final = "_source"  # the type of a column that has documents
_NO_SOURCE: Final = (
    "[_source] of indices with fields of type [semantic_text] can only be shown as JSON, YAML or "
    "CBOR"
)


def is_table(request: RestRequest) -> bool:
    """Whether what is asked for is a table, and no document."""
    asked = _asked(request).lower()
    return any(one in asked for one in _TABLES)


async def table(exchange: Exchange, body: Mapping[str, Any], text: str) -> web.StreamResponse:
    """The answer to a query with this text, as a table of the user's own columns.

    Raises: ProxyError, among them that this table cannot be had.
    """
    sent = exchange.rest.content_type
    if sent is None or sent.format != "json":
        raise PlainError(406, f"Content-Type header [{sent}] is not supported")
    asked = {name: one for name, one in body.items() if name not in _OF_ASYNC}
    question = dump_json({**asked, "query": f"{text}\n| LIMIT 0"})
    answer = await exchange.parts.upstream.ask_as_caller(exchange.request, "POST", _QUERY, question)
    if answer.status != 200:
        return await exchange.patched(answer, hide_in_error)
    columns = object_of(answer).get("columns", [])
    if any(one["type"] == _SOURCE for one in columns):
        raise IllegalArgument(_NO_SOURCE)
    ours = [one["name"] for one in columns if layout.is_ours(one["name"])]
    if ours:
        text += f"\n| DROP {', '.join(map(_quoted, ours))}"
    data = None
    if text != body["query"]:
        data = with_replaced(await exchange.read(), "query", dump_json(text))
    return await exchange.hand_on_changed(None, data)


async def document(
    exchange: Exchange, change: Change, data: bytes | None = None
) -> web.StreamResponse:
    """The answer to a query, perhaps with another body, as a document in the caller's form."""
    exchange.refuse_smile()
    answer = await exchange.ask(await exchange.json() if data is None else data)
    body = answer.body
    made = await offload(
        len(body), AT_ONCE, lambda: document_in(change.whole(body, None) or body, answer.status)
    )
    return await exchange.answer(answer, made)


async def later(exchange: Exchange) -> web.StreamResponse:
    """What an asynchronous query has found, as a table; refused where it has columns of ours."""
    found = await exchange.hand_on_unless(names_us)
    if isinstance(found, web.StreamResponse):
        return found
    raise PlainError(406, f"Accept header [{_asked(exchange.rest)}] is not supported")


def _asked(request: RestRequest) -> str:
    """The form that is asked for."""
    return request.parameters.get("format") or request.headers.get("Accept") or ""


def _quoted(name: str) -> str:
    return f"`{name.replace('`', '``')}`"
