"""SQL without columns of what the layer has added."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import orjson
import pytest
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.ground.errors import IllegalArgument
from proxy.rest.request import parse_request
from proxy.rest.responder import responder_for
from tests.unit.semantic.exchanges import Answer, World, world
from tests.unit.semantic.targets import semantic_field, target

HERE: Final = target(semantic_field())
QUERY: Final = {"query": "SELECT * FROM a"}
OURS: Final = {"name": "xinf.body.chunks.field", "type": "keyword"}
TITLE: Final = {"name": "title", "type": "text"}
YEAR: Final = {"name": 'y"r', "type": "long"}
FIRST: Final = {
    "columns": [TITLE, OURS, YEAR],
    "rows": [["a", "body", 1], ["b", None, 2]],
    "cursor": "abc=",
}


async def answer(
    here: World, path: str, body: Any, method: str = "POST", **headers: str
) -> web.StreamResponse:
    exchange, handle = here.exchange(method, path, body)
    given = {"Content-Type": "application/json", **headers}
    rest = parse_request(method, path, CIMultiDictProxy(CIMultiDict(given)))
    found: web.StreamResponse = await handle(
        replace(exchange, rest=rest, responder=responder_for(rest))
    )
    return found


async def document(here: World, path: str, body: Any = b"", method: str = "POST") -> Any:
    found = await answer(here, path, body, method)
    return orjson.loads(found.body)  # type: ignore[attr-defined]


async def test_pages_have_the_users_columns_alone():
    here = world(HERE, FIRST, {"rows": [["c", "body", 3]], "cursor": "def="}, {"rows": [[4, 5, 6]]})
    found = await document(here, "/_sql", QUERY)
    assert (found["columns"], found["rows"]) == ([TITLE, YEAR], [["a", 1], ["b", 2]])
    found = await document(here, "/_sql", {"cursor": found["cursor"]})
    assert (here.upstream.asked[-1].json, found["rows"]) == ({"cursor": "abc="}, [["c", 3]])
    found = await document(here, "/_sql", {"cursor": found["cursor"]})
    assert (here.upstream.asked[-1].json, found) == ({"cursor": "def="}, {"rows": [[4, 6]]})


async def test_columns_instead_of_rows():
    given = {"columns": FIRST["columns"], "values": [["a"], ["body"], [1]], "cursor": "abc="}
    here = world(HERE, given, {"values": [["c"], ["body"], [3]]})
    found = await document(here, "/_sql", {**QUERY, "columnar": True})
    assert found["values"] == [["a"], [1]]
    found = await document(here, "/_sql", {"cursor": found["cursor"], "columnar": True})
    assert found == {"values": [["c"], [3]]}


async def test_what_tells_nothing_of_ours_passes_as_it_came():
    given = b'{"columns":[{"name":"n"}],"rows":[[1.50]]}'
    found = await answer(world(HERE, Answer(given)), "/_sql", QUERY)
    assert found.body == given  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["column", "COLUMN_NAME"])
async def test_columns_of_ours_are_not_described(name):
    columns = [{"name": "TABLE"}, {"name": name}]
    rows = [["a", "title"], ["a", "xinf"], ["a", "xinf.body.def1"], ["a", "xinfinite"]]
    here = world(HERE, {"columns": columns, "rows": rows})
    found = await document(here, "/_sql", {"query": "DESCRIBE a"})
    assert found == {"columns": columns, "rows": [rows[0], rows[3]]}
    turned = {"columns": columns, "values": [["a", "a"], ["title", "xinf"]]}
    found = await document(world(HERE, turned), "/_sql", {"query": "DESCRIBE a", "columnar": True})
    assert found["values"] == [["a"], ["title"]]


async def test_later_pages_of_a_description():
    here = world(HERE, {"rows": [["title", "VARCHAR"], ["xinf.body", "STRUCT"]]})
    found = await document(here, "/_sql", {"cursor": "abc="})
    assert found == {"rows": [["title", "VARCHAR"]]}


async def test_a_search_that_a_query_becomes():
    fields = [{"field": "title"}, {"field": "xinf.body.def1"}]
    here = world(HERE, {"size": 5, "fields": fields})
    found = await document(here, "/_sql/translate", QUERY)
    assert found == {"size": 5, "fields": fields[:1]}


async def test_what_an_asynchronous_query_has_found():
    here = world(HERE, {"id": "i", "is_running": False, **FIRST})
    found = await document(here, "/_sql/async/i", method="GET")
    assert found["rows"] == [["a", 1], ["b", 2]]


async def test_a_cursor_is_closed():
    here = world(HERE, {"succeeded": True})
    assert await document(here, "/_sql/close", {"cursor": "abc=.c1.1"}) == {"succeeded": True}
    assert here.upstream.asked[-1].json == {"cursor": "abc="}
    await answer(here, "/_sql/close", {"cursor": "abc="})
    assert here.upstream.handed


async def test_what_is_no_cursor_is_refused():
    with pytest.raises(IllegalArgument, match=r"\[abc=.c1.x\] is no cursor"):
        await answer(world(HERE, {}), "/_sql", {"cursor": "abc=.c1.x"})


async def test_errors_name_nothing_of_ours():
    error = {"error": {"reason": "Unknown column [xinf.body.def1]"}, "status": 400}
    found = await answer(world(HERE, Answer(error, 400)), "/_sql", QUERY)
    assert b"xinf" not in found.body  # type: ignore[attr-defined]


# Tables

TABLE: Final = Answer(b"title,xinf.body.chunks.field\r\na,body\r\n")
STAR: Final = b'{"query":"select  * from a","x":1.50}'


async def test_a_table_of_all_columns_has_the_users_alone():
    here = world(HERE, TABLE, FIRST, {"succeeded": True})
    await answer(here, "/_sql?format=csv", STAR)
    _, asked, closed = here.upstream.asked
    assert (asked.target, asked.json["fetch_size"]) == ("/_sql?format=json", 1)
    assert (closed.target, closed.json) == ("/_sql/close", {"cursor": "abc="})
    (handed,) = here.upstream.handed
    assert handed.target == "/_sql?format=csv"
    assert handed.body == rb'{"query":"select  \"title\", \"y\"\"r\" from a","x":1.50}'


async def test_a_table_without_names_of_columns():
    for query, headers in (("&header=absent", {}), ("", {"Accept": "text/csv; header=absent"})):
        path = f"/_sql?format=csv{query}" if query else "/_sql"
        here = world(HERE, FIRST, {})
        await answer(here, path, STAR, **headers)
        assert b"title" in here.upstream.handed[0].body
        here = world(HERE, {"columns": [TITLE], "rows": []})
        await answer(here, path, STAR, **headers)
        assert here.upstream.handed[0].body == STAR


@pytest.mark.parametrize(
    ("body", "then"),
    [
        (b'{"query":"DESCRIBE a"}', {"columns": [{"name": "column"}], "rows": [["xinf"]]}),
        (b'{"query":"SELECT title, xinf.body.chunks.field FROM a"}', FIRST),
        (b'{"query":"SELECT * FROM a"}', Answer({"error": {}}, 400)),
        (b'{"cursor":"abc="}', FIRST),
        (b"[]", FIRST),
    ],
)
async def test_a_table_that_would_show_columns_of_ours_is_refused(body, then):
    with pytest.raises(IllegalArgument, match="name the columns"):
        await answer(world(HERE, TABLE, then, {}), "/_sql?format=txt", body)


async def test_a_later_page_is_no_table_where_the_first_one_was_none():
    with pytest.raises(IllegalArgument, match="name the columns"):
        await answer(world(HERE, {}), "/_sql?format=tsv", {"cursor": "abc=.c1.1"})


async def test_a_table_without_columns_of_ours_passes():
    found = await answer(world(HERE, Answer(b"title\r\na\r\n")), "/_sql?format=csv", STAR)
    assert found.body == b"title\r\na\r\n"  # type: ignore[attr-defined]
