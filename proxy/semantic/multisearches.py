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
from proxy.semantic.answerjson import AT_ONCE, items_of
from proxy.semantic.answers import presentable, rewording, told
from proxy.semantic.cutting import Replacement
from proxy.semantic.exchange import Exchange
from proxy.semantic.fields import Fields
from proxy.semantic.inferencefields import inference_fields
from proxy.semantic.preparing import Prepared, Search
from proxy.semantic.reading import cut, showing
from proxy.semantic.retrievers.entry import evaluated
from proxy.semantic.searches import body_of
from proxy.semantic.shownhits import Where, show_chunks
from proxy.semantic.templates import rendered
from proxy.xcontent.loading import load_json
from proxy.xcontent.writing import dump_json

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
    return await exchange.hand_on() if lines is None else await _answered(exchange, lines)


async def multi_search_template(exchange: Exchange) -> web.StreamResponse:
    """Many searches that are templates."""
    lines = await _lines(exchange)
    if not lines:
        return await exchange.hand_on()
    filled = []
    for line in lines:
        body = await rendered(exchange, line.body)
        if body is None:
            return await exchange.hand_on()
        filled.append(replace(line, body=body))
    return await _answered(exchange, filled)


async def rank_evaluation(exchange: Exchange) -> web.StreamResponse:
    """Searches whose hits are rated. Source: RestRankEvalAction."""
    body = await body_of(exchange)
    rated = body.get("requests") if body else None
    if not isinstance(body, dict) or not isinstance(rated, list):
        return await exchange.hand_on()
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
        return await exchange.hand_on()
    sent = [n for n, one in enumerate(made) if isinstance(one, Prepared)]
    responses: list[Any] = [None if isinstance(one, Prepared) else one.envelope() for one in made]
    if sent:
        path = exchange.rest.path.rstrip("/").removesuffix("/template")
        query = exchange.unshaped_target().partition("?")[2]
        body, replacement = await _sent(exchange, [(lines[n], made[n]) for n in sent])
        answer = await exchange.ask(body, target=f"{path}?{query}" if query else path)
        if answer.status >= 300:
            words = rewording({}, {})
            return await exchange.patched(answer, lambda document: told(document, words))
        if replacement is not None:
            answer = await cut(answer, replacement)
        found = await offload(len(answer.body), AT_ONCE, lambda: items_of(answer, "responses"))
        for n, response in zip(sent, found, strict=True):
            responses[n] = await _shown(exchange, response, made[n], lines[n])
    took = int((monotonic() - started) * 1000)
    return await exchange.made(200, {"took": took, "responses": responses})


def _is_untouched(made: Prepared | ProxyError, line: Line) -> bool:
    return isinstance(made, Prepared) and not made.target.fields and made.body == line.body


async def _sent(
    exchange: Exchange, searches: Sequence[tuple[Line, Prepared | ProxyError]]
) -> tuple[bytes, Replacement | None]:
    """The body for the upstream, and what is shown of what the layer added, where it is asked for.

    Where it is not, nothing of that comes back.
    """
    parts: list[bytes] = []
    asked: dict[str, Fields] = {}
    for line, made in searches:
        assert isinstance(made, Prepared)
        body = made.body
        if made.target.fields:
            shown = await showing(exchange, body, made.target, is_alone=False)
            body = shown.body
            if shown.replacement is not None:
                asked |= made.target.fields
        parts += (line.header, dump_json(body))
    return b"\n".join((*parts, b"")), inference_fields(asked) if asked else None


async def _shown(exchange: Exchange, response: Any, made: Prepared | ProxyError, line: Line) -> Any:
    assert isinstance(made, Prepared)
    words = rewording(made.target.by_path(), made.shown.formats)
    document = presentable(response, words)
    if made.patch is not None:
        document = made.patch(document)
    where = Where.of(line.expression, line.parameters, line.body)
    await show_chunks(exchange, document, made.shown, where)
    return document


async def _lines(exchange: Exchange) -> list[Line] | None:
    """The searches of a request; None where they cannot be read."""
    data, parameters = await exchange.read(), exchange.rest.parameters
    index = exchange.names.get("index")
    return await offload(len(data), AT_ONCE, lambda: _read(data, index, parameters))


def _read(data: bytes, index: str | None, parameters: Mapping[str, str]) -> list[Line] | None:
    lines: list[Line] = []
    pending = data.split(b"\n")
    if pending.pop().strip() or len(pending) % 2:  # it does not end as it has to
        return None
    for header, body in zip(pending[::2], pending[1::2], strict=True):
        try:
            where = load_json(header) if header.strip() else {}
            search = load_json(body)
        except ValueError:
            return None
        if not isinstance(where, dict) or not isinstance(search, dict):
            return None
        lines.append(
            Line(
                header=header,
                body=search,
                expression=_expression(where, index),
                parameters={**parameters, **_parameters(where)},
            )
        )
    return lines


def _parameters(header: Mapping[str, Any]) -> dict[str, str]:
    """What a line says of its search, as the parameters of a `_search` would."""
    return {_SPELLED.get(name, name): _text(value) for name, value in header.items()}


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _expression(header: Mapping[str, Any], index: str | None) -> str | None:
    found = header.get("index", header.get("indices"))
    if isinstance(found, list):
        found = ",".join(str(one) for one in found)
    return found if isinstance(found, str) and found else index
