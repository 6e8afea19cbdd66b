"""`_msearch`: many searches in one request, whose texts are embedded together.

Source: RestMultiSearchAction, MultiSearchRequest, RestMultiSearchTemplateAction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Final

from aiohttp import web

from proxy.ground.errors import ProxyError
from proxy.limits.threads import offload
from proxy.semantic.answerjson import AT_ONCE, read_items
from proxy.semantic.answers import presentable, rewording, told
from proxy.semantic.exchange import Exchange
from proxy.semantic.fields import Fields
from proxy.semantic.inferencefields import inference_fields
from proxy.semantic.ports import UpstreamAnswer
from proxy.semantic.preparing import Prepared, Search
from proxy.semantic.reading import Showing, cut, showing
from proxy.semantic.retrievers.entry import evaluated
from proxy.semantic.searches import body_of
from proxy.semantic.shownhits import Where, show_chunks
from proxy.semantic.templates import rendered
from proxy.xcontent.javatext import java_hash_order, java_scalar
from proxy.xcontent.loading import load_json
from proxy.xcontent.writing import dump_json

_INDICES: Final = ("index", "indices")
_SPELLED: Final = {"searchType": "search_type"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One search of a request: the line that says where it goes, and its body."""

    header: bytes
    body: dict[str, Any]
    expression: str | None
    parameters: Mapping[str, str]  # of the line, and of the request where that says nothing

    def search(self) -> Search:
        return Search(body=self.body, expression=self.expression, parameters=self.parameters)


async def multi_search(exchange: Exchange) -> web.StreamResponse:
    """Many searches."""
    lines = await _lines(exchange)
    if lines is None:
        return await exchange.hand_on_unread()
    return await _answered(exchange, lines)


async def multi_search_template(exchange: Exchange) -> web.StreamResponse:
    """Many searches that are templates."""
    lines = await _lines(exchange)
    if not lines:
        return await exchange.hand_on_unread()
    filled = []
    for line in lines:
        body = await rendered(exchange, line.body)
        if body is None:
            return await exchange.hand_on_unread()
        filled.append(replace(line, body=body))
    return await _answered(exchange, filled)


async def rank_evaluation(exchange: Exchange) -> web.StreamResponse:
    """Searches whose hits are rated. Source: RestRankEvalAction."""
    body = await body_of(exchange)
    rated = body.get("requests") if body else None
    if not isinstance(body, dict) or not isinstance(rated, list):
        return await exchange.hand_on_unread()
    places = [
        n
        for n, one in enumerate(rated)
        if isinstance(one, dict) and isinstance(one.get("request"), dict)
    ]
    expression = exchange.names.get("index")
    searches = [Search(body=rated[n]["request"], expression=expression) for n in places]
    requests = list(rated)
    for n, made in zip(places, (await evaluated(exchange, searches))[1], strict=True):
        if isinstance(made, ProxyError):
            raise made
        requests[n] = {**rated[n], "request": made.body}
    answer = await exchange.ask(dump_json({**body, "requests": requests}))
    words = rewording({}, {})
    return await exchange.patched(answer, lambda document: told(document, words))


async def _answered(exchange: Exchange, lines: Sequence[Line]) -> web.StreamResponse:
    started = monotonic()
    exchange, made = await evaluated(exchange, [line.search() for line in lines])
    untouched = all(_is_untouched(one, line) for one, line in zip(made, lines, strict=True))
    if untouched and not exchange.rest.path.endswith("/template"):
        return await exchange.hand_on_unread()  # as what a search goes to may be unclear
    responses: list[Any] = [None if isinstance(one, Prepared) else one.envelope() for one in made]
    sent = {
        n: await _sent(exchange, lines[n], one)
        for n, one in enumerate(made)
        if isinstance(one, Prepared)
    }
    if sent:
        answer = await _asked(exchange, sent)
        if answer.status >= 300:
            words = rewording({}, {})
            return await exchange.patched(answer, lambda document: told(document, words))
        found = await read_items(answer, "responses", len(sent))
        await _repeat_refused(exchange, sent, found)
        for n, response in zip(sent, found, strict=True):
            responses[n] = await _shown(exchange, response, made[n], lines[n])
    took = int((monotonic() - started) * 1000)
    return await exchange.made(200, {"took": took, "responses": responses})


def _is_untouched(made: Prepared | ProxyError, line: Line) -> bool:
    return isinstance(made, Prepared) and not made.target.fields and made.body == line.body


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """A search as it is sent."""

    header: bytes
    showing: Showing
    fields: Mapping[str, Fields]  # whose `_inference_fields` are shown

    def lines(self) -> bytes:
        return self.header + b"\n" + dump_json(self.showing.body) + b"\n"


async def _sent(exchange: Exchange, line: Line, made: Prepared) -> _Sent:
    if not made.target.fields:
        shown = Showing(body=made.body, parameters={}, replacement=None)
        return _Sent(header=line.header, showing=shown, fields={})
    shown = await showing(exchange, made.body, made.target, is_alone=False)
    fields = {} if shown.replacement is None else made.target.fields
    return _Sent(header=line.header, showing=shown, fields=fields)


async def _asked(exchange: Exchange, sent: Mapping[int, _Sent]) -> UpstreamAnswer:
    """The upstream's answer to these searches. Raises: UpstreamError."""
    path = exchange.rest.path.rstrip("/").removesuffix("/template")
    query = exchange.unshaped_target().partition("?")[2]
    body = b"".join(one.lines() for one in sent.values())
    answer = await exchange.ask(body, target=f"{path}?{query}" if query else path)
    fields = {index: found for one in sent.values() for index, found in one.fields.items()}
    return await cut(answer, inference_fields(fields)) if fields else answer


async def _repeat_refused(
    exchange: Exchange, sent: Mapping[int, _Sent], responses: list[Any]
) -> None:
    """Search anew where an index that keeps no sources has refused the filter of sources."""
    refused = {
        n: replace(one, showing=one.showing.unfiltered())
        for n, (one, response) in enumerate(zip(sent.values(), responses, strict=True))
        if isinstance(response, dict)
        and one.showing.is_refused_by(
            dump_json([response.get("error"), response.get("_shards")])  # of all, or of some
        )
    }
    if not refused:
        return
    answer = await _asked(exchange, refused)
    if answer.status < 300:
        found = await read_items(answer, "responses", len(refused))
        for n, response in zip(refused, found, strict=True):
            responses[n] = response


async def _shown(exchange: Exchange, response: Any, made: Prepared | ProxyError, line: Line) -> Any:
    assert isinstance(made, Prepared)
    words = rewording(made.target.by_path(), made.shown.formats)
    document = presentable(made.patched(response), words)
    where = Where.of(line.expression, line.parameters, line.body)
    await show_chunks(exchange, document, made.shown, where)
    return document


async def _lines(exchange: Exchange) -> list[Line] | None:
    """The searches of a request; None where they cannot be read. Raises: Unread."""
    exchange.refuse_smile()
    data, parameters = await exchange.read(), exchange.rest.parameters
    sent = exchange.rest.content_type
    if data and (sent is None or sent.format != "json"):
        return None
    index = exchange.names.get("index")
    return await offload(len(data), AT_ONCE, lambda: _read(data, index, parameters))


def _read(data: bytes, index: str | None, parameters: Mapping[str, str]) -> list[Line] | None:
    lines: list[Line] = []
    pending = data.split(b"\n")
    if pending.pop():  # it does not end as it has to
        return None
    try:
        # A line that says where a search goes, but has none, counts for nothing.
        headers = [_header(one) for one in pending[::2]]
        bodies = [load_json(one) for one in pending[1::2]]
    except ValueError:
        return None
    for line, where, search in zip(pending[::2], headers, bodies, strict=False):
        if not isinstance(search, dict):
            return None
        lines.append(
            Line(
                header=line,
                body=search,
                expression=_expression(where, index),
                parameters={**parameters, **_parameters(where)},
            )
        )
    return lines


def _header(line: bytes) -> dict[str, Any]:
    """What a line says of its search; nothing where it is no object. Raises: ValueError."""
    found = load_json(line) if line.strip() else None
    return found if isinstance(found, dict) else {}


def _parameters(header: Mapping[str, Any]) -> dict[str, str]:
    """What a line says of its search, as the parameters of a `_search` would."""
    return {_SPELLED.get(name, name): _text(value) for name, value in header.items()}


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _expression(header: Mapping[str, Any], index: str | None) -> str | None:
    """The indices of a search: those that its line names last, or else those of the path.

    Source: XContentMapValues.nodeStringArrayValue.
    """
    named = [name for name in java_hash_order(header) if name in _INDICES]
    if not named:
        return index
    found = header[named[-1]]
    return ",".join(map(java_scalar, found if isinstance(found, list) else [found])) or None
