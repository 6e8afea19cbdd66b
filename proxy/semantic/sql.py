"""SQL: answers have no columns of what the layer has added, and tell of none.

Later pages have no names of columns, so their cursors say what to leave out. A table of text is not
cut: the upstream is asked for the user's own columns, where they can be told from the query.
Source: SqlQueryResponse, RestSqlQueryAction, TextFormat.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiohttp import web

from proxy.ground.errors import IllegalArgument
from proxy.semantic import layout
from proxy.semantic.answerjson import object_of
from proxy.semantic.documents import with_replaced
from proxy.semantic.encodedanswers import names_us
from proxy.semantic.esql.forms import is_table
from proxy.semantic.exchange import Exchange
from proxy.xcontent.writing import dump_json

_MARK: Final = ".c1."  # no cursor of Elasticsearch's has points
_EVERYTHING: Final = re.compile(r"\s*SELECT\s+(\*)\s+FROM\s", re.IGNORECASE)
_NAMES: Final = ("column", "COLUMN_NAME")  # of the column with names, where columns are described
_ROWS: Final = "rows"
_COLUMNS: Final = "values"  # what stands in its place where a request is `columnar`
_NO_TABLE: Final = (
    "a table of this query would show what belongs to fields of type [semantic_text]: name the "
    "columns, or ask for JSON, YAML or CBOR"
)


async def query(exchange: Exchange) -> web.StreamResponse:
    """What a query finds, or the next page of it."""
    body = await exchange.document()
    if (cursor := _marked_cursor(body)) is not None:
        own, left_out = _read(cursor)
        if is_table(exchange.rest):
            raise IllegalArgument(_NO_TABLE)
        answer = await exchange.ask({**body, "cursor": own})
        return await exchange.repaired(answer, lambda page: _without(page, left_out))
    if is_table(exchange.rest):
        return await _table(exchange, body)
    return await exchange.shown(_own)


async def found_so_far(exchange: Exchange) -> web.StreamResponse:
    """What an asynchronous query has found by now."""
    return await (_table(exchange, None) if is_table(exchange.rest) else exchange.shown(_own))


async def translate(exchange: Exchange) -> web.StreamResponse:
    """The search that a query becomes."""
    return await exchange.shown(_own_search)


async def close(exchange: Exchange) -> web.StreamResponse:
    """The end of a query of which not all pages are wanted."""
    body = await exchange.document()
    if (cursor := _marked_cursor(body)) is None:
        return await exchange.hand_on()
    return await exchange.as_is(await exchange.ask({**body, "cursor": _read(cursor)[0]}))


# Documents


def _own(found: Any) -> Any:
    """What a query has found, without columns of ours and rows that describe one."""
    columns = found.get("columns")
    if not isinstance(columns, list):  # a later page, perhaps of what describes columns
        return _without_described(found, 0)
    names = [str(one.get("name")) for one in columns]
    if (place := next((at for at, name in enumerate(names) if name in _NAMES), None)) is not None:
        found = _without_described(found, place)
    left_out = [at for at, name in enumerate(names) if layout.is_ours(name)]
    return _without({**found, "columns": _but(columns, left_out)}, left_out)


def _without(page: Any, left_out: Sequence[int]) -> Any:
    """A page without these columns."""
    made = dict(page)
    if _ROWS in page:
        made[_ROWS] = [_but(row, left_out) for row in page[_ROWS]]
    if _COLUMNS in page:
        made[_COLUMNS] = _but(page[_COLUMNS], left_out)
    if left_out and page.get("cursor"):
        made["cursor"] = page["cursor"] + _MARK + "-".join(map(str, left_out))
    return made


def _without_described(page: Mapping[str, Any], place: int) -> dict[str, Any]:
    """A page without what describes a column of ours, whose name stands at that place."""
    made = dict(page)
    if _ROWS in page:
        made[_ROWS] = [row for row in page[_ROWS] if not _is_ours(row, place)]
    if columns := page.get(_COLUMNS):
        left_out = [at for at, name in enumerate(columns[place]) if _is_ours([name], 0)]
        made[_COLUMNS] = [_but(column, left_out) for column in columns]
    return made


def _is_ours(row: Sequence[Any], place: int) -> bool:
    return len(row) > place and isinstance(row[place], str) and layout.is_ours(row[place])


def _but(values: Sequence[Any], left_out: Sequence[int]) -> list[Any]:
    return [one for place, one in enumerate(values) if place not in left_out]


def _own_search(found: Any) -> Any:
    made = dict(found)
    for name in ("fields", "docvalue_fields"):
        if isinstance(found.get(name), list):
            made[name] = [one for one in found[name] if not layout.is_ours(_field(one))]
    return made


def _field(entry: Any) -> str:
    return str(entry.get("field") if isinstance(entry, Mapping) else entry)


def _marked_cursor(body: Any) -> str | None:
    """The cursor of a body, if it says which columns are left out."""
    cursor = body.get("cursor") if isinstance(body, dict) else None
    return cursor if isinstance(cursor, str) and _MARK in cursor else None


def _read(cursor: str) -> tuple[str, list[int]]:
    """The upstream's cursor, and the places of columns to be left out. Raises: IllegalArgument."""
    own, _, places = cursor.partition(_MARK)
    try:
        return own, [int(one) for one in places.split("-")]
    except ValueError:
        raise IllegalArgument(f"[{cursor}] is no cursor") from None


# Tables


async def _table(exchange: Exchange, body: Any) -> web.StreamResponse:
    """A table of text. Raises: IllegalArgument for one that would show columns of ours."""
    if not _lacks_header(exchange):
        found = await exchange.hand_on_unless(names_us)
        if isinstance(found, web.StreamResponse):
            return found
    text = body.get("query") if isinstance(body, dict) else None
    sent = exchange.rest.content_type
    if not isinstance(text, str) or sent is None or sent.format != "json":
        raise IllegalArgument(_NO_TABLE)
    names = await _columns(exchange, body)
    own = [name for name in names if not layout.is_ours(name)]
    star = _EVERYTHING.match(text)
    if len(own) < len(names) and star is not None and own:
        listed = ", ".join(f'"{name.replace(chr(34), chr(34) * 2)}"' for name in own)
        made = text[: star.start(1)] + listed + text[star.end(1) :]
        data = with_replaced(await exchange.read(), "query", dump_json(made))
        return await exchange.hand_on_changed(None, data)
    if len(own) == len(names) and _lacks_header(exchange):
        return await exchange.hand_on()
    raise IllegalArgument(_NO_TABLE)


async def _columns(exchange: Exchange, body: Mapping[str, Any]) -> list[str]:
    """The columns that a query has. Raises: IllegalArgument where the upstream does not tell."""
    upstream, request = exchange.parts.upstream, exchange.request
    question = dump_json({**body, "fetch_size": 1})
    answer = await upstream.ask_as_caller(request, "POST", "/_sql?format=json", question)
    if answer.status >= 300:
        raise IllegalArgument(_NO_TABLE)
    found = object_of(answer)
    if cursor := found.get("cursor"):
        closed = dump_json({"cursor": cursor})
        await upstream.ask_as_caller(request, "POST", "/_sql/close", closed)
    return [str(one["name"]) for one in found.get("columns", ())]


def _lacks_header(exchange: Exchange) -> bool:
    """Whether the table that is asked for does not name its columns."""
    asked = exchange.rest.parameters.get("header")
    if asked is not None:
        return asked.lower() == "absent"
    return "header=absent" in exchange.rest.headers.get("Accept", "").lower().replace(" ", "")
