"""Requests with ES|QL queries, and those for what a query has found by now.

Source: RestEsqlQueryAction, RestEsqlAsyncQueryAction, RestEsqlGetAsyncResultAction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiohttp import web

from proxy.inference.endpoints import TaskType
from proxy.limits.deadline import Deadline
from proxy.limits.threads import offload
from proxy.semantic.answerjson import AT_ONCE
from proxy.semantic.documents import with_replaced
from proxy.semantic.errors import VerificationFailed
from proxy.semantic.esql import forms
from proxy.semantic.esql.columns import without_columns
from proxy.semantic.esql.embeddings import FUNCTION, Call, Parameters, Replaced, calls, replaced
from proxy.semantic.esql.lexer import indices_in, tokens
from proxy.semantic.exchange import Exchange
from proxy.semantic.ports import Change
from proxy.semantic.vectors import Wanted, embedded
from proxy.xcontent.times import parse_time
from proxy.xcontent.writing import dump_json

_TIME: Final = 30.0  # seconds that texts may take, where nobody says how many


async def query(exchange: Exchange) -> web.StreamResponse:
    """A query whose texts are embedded, and whose answer has no columns of ours."""
    body = await exchange.document()
    columnar = body.get("columnar") in (True, "true") if isinstance(body, dict) else False
    sent = exchange.rest.content_type
    text = body.get("query") if isinstance(body, dict) else None
    change, data = _change(exchange, columnar), None
    if not isinstance(text, str) or sent is None:
        return await exchange.hand_on_changed(change)
    if sent.format == "json" and FUNCTION in text.lower():
        made = await _with_vectors(exchange, text, body.get("params"))
        if made is not None:
            text, change = made.text, without_columns(columnar, made.reworded)
            data = with_replaced(await exchange.read(), "query", dump_json(text))
    if not exchange.parts.registry.snapshot.active or change is None:
        return await exchange.hand_on_changed(change, data)
    if forms.is_table(exchange.rest):
        return await forms.table(exchange, body, text)
    if not exchange.wants_json:
        return await forms.document(exchange, change, data)
    return await exchange.hand_on_changed(change, data)


async def found_so_far(exchange: Exchange) -> web.StreamResponse:
    """What an asynchronous query has found by now."""
    await exchange.read()
    change = _change(exchange)
    if change is not None and forms.is_table(exchange.rest):
        return await forms.later(exchange)
    if change is not None and not exchange.wants_json:
        return await forms.document(exchange, change)
    return await exchange.hand_on_changed(change)


def _change(exchange: Exchange, columnar: bool | None = None) -> Change | None:
    """What is done to answers, if any index can have columns of ours."""
    return without_columns(columnar) if exchange.parts.registry.snapshot.active else None


async def _with_vectors(exchange: Exchange, text: str, params: Any) -> Replaced | None:
    """The query with vectors for the texts that endpoints of ours embed; None if there are none.

    Raises: ProxyError.
    """
    found = await offload(len(text), AT_ONCE, lambda: tokens(text))
    parameters = Parameters(params, found)
    ours = [one for one in calls(found, parameters) if await _is_ours(exchange, one, text)]
    if not ours:
        return None
    await _check_privileges(exchange, indices_in(found))
    vectors = await _vectors(exchange, ours)
    return replaced(text, found, parameters, vectors)


async def _is_ours(exchange: Exchange, call: Call, text: str) -> bool:
    """Whether an endpoint of ours embeds the text of a call. Raises: VerificationFailed."""
    endpoint = await exchange.parts.endpoints.find(call.inference_id)
    if endpoint is None:
        return False
    if endpoint.task_type is not TaskType.TEXT_EMBEDDING:
        line = text.count("\n", 0, call.place) + 1
        column = call.place - text.rfind("\n", 0, call.place)
        raise VerificationFailed(
            f"Found 1 problem\nline {line}:{column}: cannot use inference endpoint "
            f"[{call.inference_id}] with task type [{endpoint.task_type}] within a {FUNCTION} "
            f"function. Only inference endpoints with the task type [{TaskType.TEXT_EMBEDDING}] "
            "are supported."
        )
    return True


async def _check_privileges(exchange: Exchange, indices: str) -> None:
    """Return if the caller may search what a query reads, or else use endpoints by themselves.

    Raises: Unauthorized; Unauthenticated; UpstreamError where nobody can tell.
    """
    parts = exchange.parts
    if indices:
        await parts.guard.searchable(exchange.request, await parts.registry.look_up(indices))
    else:
        await parts.guard.check_inference(exchange.request)


async def _vectors(exchange: Exchange, ours: Sequence[Call]) -> Mapping[Call, Sequence[float]]:
    """The vector of each call, each text embedded once. Raises: ProxyError."""
    times = [parse_time(one.timeout, "timeout") for one in ours if one.timeout is not None]
    wanted = {one: Wanted(one.inference_id, one.text) for one in ours}
    found = await embedded(
        wanted.values(), exchange.parts.endpoints, Deadline.after(max(times, default=_TIME))
    )
    return {one: found[text].vector for one, text in wanted.items()}
