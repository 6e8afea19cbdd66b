"""ES|QL in other forms than JSON."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import orjson
import pytest
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.ground.errors import IllegalArgument, PlainError
from proxy.rest.body import Body
from proxy.rest.request import parse_request
from proxy.rest.responder import responder_for
from proxy.xcontent.document import Bounds
from tests.unit.semantic.exchanges import Answer, World, world
from tests.unit.semantic.targets import semantic_field, target

HERE: Final = target(semantic_field())
BODY: Final = b'{"query":"FROM a", "x":1.50}'
OWN: Final = [{"name": "body", "type": "text"}]
OURS: Final = [{"name": "xinf.body.def1", "type": "keyword"}]


async def answer(
    here: World, method: str, path: str, body: bytes, **headers: str
) -> web.StreamResponse:
    exchange, handle = here.exchange(method, path, body)
    given = {name.replace("_", "-"): text for name, text in headers.items()}
    given = {"Content-Type": "application/json", **given}
    rest = parse_request(method, path, CIMultiDictProxy(CIMultiDict(given)))
    read = Body(rest, body, body, Bounds(nesting=100, values=1000))
    found: web.StreamResponse = await handle(
        replace(exchange, rest=rest, responder=responder_for(rest), body=read)
    )
    return found


TABLES: Final = [
    ("?format=csv", {}),
    ("?format=TSV", {}),
    ("", {"Accept": "text/csv; header=absent"}),
    ("", {"Accept": "text/plain"}),
    ("", {"Accept": "text/tab-separated-values"}),
    ("", {"Accept": "application/vnd.apache.arrow.stream"}),
]


@pytest.mark.parametrize(("query", "headers"), TABLES)
@pytest.mark.parametrize("path", ["/_query", "/_query/async"])
async def test_a_table_has_the_users_columns_alone(path: str, query: str, headers: Any):
    here = world(HERE, {"columns": OWN + OURS, "values": []})
    await answer(here, "POST", path + query, BODY, **headers)
    (asked,) = here.upstream.asked
    assert (asked.method, asked.target) == ("POST", "/_query")
    assert asked.json == {"query": "FROM a\n| LIMIT 0", "x": 1.5}
    (handed,) = here.upstream.handed
    assert handed.body == b'{"query":"FROM a\\n| DROP `xinf.body.def1`", "x":1.50}'


async def test_a_table_without_columns_of_ours_is_asked_for_as_it_came():
    here = world(HERE, {"columns": OWN, "values": []})
    await answer(here, "POST", "/_query?format=csv", BODY)
    (handed,) = here.upstream.handed
    assert (handed.target, handed.body) == ("", BODY)


async def test_the_text_of_a_table_is_embedded():
    here = world(HERE, {"columns": OURS, "values": []})
    body = orjson.dumps({"query": 'ROW a = TEXT_EMBEDDING("x", "e")', "keep_alive": "1d"})
    await answer(here, "POST", "/_query/async?format=csv", body)
    assert here.upstream.asked[0].json.keys() == {"query"}
    (handed,) = here.upstream.handed
    made = "ROW a = TO_DENSE_VECTOR([1.0, 0.0, 0.0])\n| DROP `xinf.body.def1`"
    assert handed.json == {"query": made, "keep_alive": "1d"}


async def test_what_is_wrong_with_a_query_is_told():
    here = world(HERE, Answer({"error": {"reason": "[xinf.body.def1]"}, "status": 400}, 400))
    found = await answer(here, "POST", "/_query?format=csv", BODY)
    assert found.status == 400
    assert b"xinf" not in found.body  # type: ignore[attr-defined]


async def test_no_table_has_documents():
    here = world(HERE, {"columns": [{"name": "s", "type": "_source"}], "values": []})
    with pytest.raises(IllegalArgument):
        await answer(here, "POST", "/_query?format=csv", BODY)
    assert here.upstream.handed == []


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/_query/async/x"), ("POST", "/_query/async/x/stop")]
)
async def test_a_later_table_is_refused_if_it_has_columns_of_ours(method: str, path: str):
    with pytest.raises(PlainError) as caught:
        await answer(
            world(HERE, Answer(b"body,xinf.body.def1\n")), method, f"{path}?format=csv", b""
        )
    assert caught.value.status == 406
    found = await answer(world(HERE, Answer(b"body\n")), method, f"{path}?format=csv", b"")
    assert found.body == b"body\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize("form", [{"Accept": "application/yaml"}, {"Accept": "application/smile"}])
@pytest.mark.parametrize(
    ("method", "path", "body"), [("POST", "/_query", BODY), ("GET", "/_query/async/x", b"")]
)
async def test_a_document_in_another_form_has_no_columns_of_ours(
    method: str, path: str, body: bytes, form: Any
):
    found = {"columns": OWN + OURS, "values": [["x", None]]}
    made = await answer(world(HERE, found), method, path, body, **form)
    assert b"xinf" not in made.body  # type: ignore[attr-defined]
    assert b"body" in made.body  # type: ignore[attr-defined]


async def test_a_body_in_another_form_is_answered_in_it():
    here, yaml = world(HERE, {"columns": OWN + OURS, "values": []}), "application/yaml"
    made = await answer(here, "POST", "/_query", b"query: FROM a\n", Content_Type=yaml)
    assert made.body.startswith(b"---\n")  # type: ignore[attr-defined]
    assert b"xinf" not in made.body  # type: ignore[attr-defined]
    with pytest.raises(PlainError):
        await answer(here, "POST", "/_query?format=csv", b"query: FROM a\n", Content_Type=yaml)
