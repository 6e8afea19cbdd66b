"""Single documents, each sent as a bulk of one."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest

from proxy.ground.errors import ParseFailed, StatusError
from proxy.semantic.pipelines import Pipeline
from tests.unit.semantic.exchanges import Answer, World, world
from tests.unit.semantic.targets import semantic_field, target

OURS: Final = {"p": Pipeline(id="p", before=(), after=())}


def here(*answers: Any) -> World:
    made = world(target(semantic_field()), *answers)
    made.registry.writes_to("a")
    return made


def done(action: str = "index", status: int = 201, **more: Any) -> dict[str, Any]:
    entry = {"_index": "a", "_id": "1 2", "status": status, **more}
    return {"items": [{action: entry}]}


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("POST", "/a/_doc", {"create": {"_index": "a"}}),
        ("PUT", "/a/_doc/1", {"index": {"_index": "a", "_id": "1"}}),
        ("PUT", "/a/_create/1", {"create": {"_index": "a", "_id": "1"}}),
        ("PUT", "/a/_doc/1?op_type=create", {"create": {"_index": "a", "_id": "1"}}),
        ("POST", "/a/_doc?op_type=index", {"index": {"_index": "a"}}),
        (
            "PUT",
            "/a/_doc/1?routing=r&if_seq_no=3&if_primary_term=1&require_alias&refresh",
            {
                "index": {
                    **{"_index": "a", "_id": "1", "routing": "r", "if_seq_no": 3},
                    **{"if_primary_term": 1, "require_alias": True},
                }
            },
        ),
    ],
)
async def test_a_document_is_sent_with_its_vectors(method: str, path: str, action: Any):
    before = here(done(next(iter(action))))
    answer = await before.answer(method, path, {"body": "one"})
    assert answer.status == 201
    asked = before.upstream.asked[-1]
    assert asked.target.partition("?") == (
        "/_bulk",
        "?" * ("refresh" in path),
        "refresh=" * ("refresh" in path),
    )
    line, document = (orjson.loads(one) for one in asked.body.splitlines())
    ((kind, meta),) = line.items()
    meta.pop("dynamic_templates")
    assert {kind: meta} == action
    assert document["xinf"]["body"]["chunks"][0]["embeddings"] == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("text", "number"), [("%2B5", 5), ("-5", -5), ("0" * 30 + "5", 5), ("%D9%A5", 5)]
)
async def test_numbers_are_read_as_java_reads_them(text: str, number: int):
    before = here(done())
    await before.request("PUT", f"/a/_doc/1?version={text}", {"body": "one"})
    line, _ = before.upstream.asked[-1].body.splitlines()
    assert orjson.loads(line)["index"]["version"] == number


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-be", "utf-32-le"])
async def test_a_document_in_another_encoding_has_its_vectors(codec: str):
    before = here(done())
    await before.request("PUT", "/a/_doc/1", '{"body":"one"}'.encode(codec))
    _, document = before.upstream.asked[-1].body.splitlines()
    assert orjson.loads(document)["xinf"]


async def test_a_document_in_no_encoding_is_refused():
    with pytest.raises(ParseFailed):
        await here(done()).request("PUT", "/a/_doc/1", '{"body":"'.encode("utf-16") + b"\x00\xd8")


async def test_a_new_document_is_told_where_it_is():
    answer = await here(done()).answer("PUT", "/a/_doc/1?routing=x y", {"body": "one"})
    assert answer.headers["Location"] == "/a/_doc/1%202?routing=x%20y"
    answer = await here(done(status=200)).answer("PUT", "/a/_doc/1", {"body": "one"})
    assert "Location" not in answer.headers


async def test_an_update_that_changes_nothing_tells_of_no_refresh():
    before = here(done("update", 200, result="noop", forced_refresh=True))
    answer = await before.request("POST", "/a/_update/1?refresh", {"doc": {"n": 1}})
    nobody = {"total": 0, "successful": 0, "failed": 0}
    assert answer == {"_index": "a", "_id": "1 2", "result": "noop", "_shards": nobody}


async def test_a_refused_item_is_a_refused_request():
    error = {"type": "x", "reason": "[xinf.body.chunks]", "caused_by": {"type": "y"}}
    answer = await here(done(status=400, error=error)).answer("PUT", "/a/_doc/1", {"body": "one"})
    assert answer.status == 400
    shown = orjson.loads(answer.body)  # type: ignore[attr-defined]
    assert shown["error"]["root_cause"] == [{"type": "x", "reason": "[body.inference.chunks]"}]
    assert shown["error"]["caused_by"] == {"type": "y"}


async def test_a_refused_bulk_speaks_of_the_path_that_was_asked_for():
    refused = Answer({"error": {"reason": "request [/_bulk] has no [x]"}, "status": 400}, 400)
    answer = await here(refused).answer("PUT", "/a/_doc/1?x=1", {"body": "one"})
    assert b"request [/a/_doc/1] has" in answer.body  # type: ignore[attr-defined]


async def test_a_text_that_cannot_be_embedded_is_the_requests_error():
    with pytest.raises(StatusError, match="Invalid format for field"):
        await here(done()).request("PUT", "/a/_doc/1", {"body": {"a": 1}})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/a/_doc/1", b""),
        ("/a/_doc/1?version=x", {"body": "one"}),
        ("/a/_update/1?pipeline=p", {"doc": {}}),
        ("/a/_doc/1?op_type=update", {"body": "one"}),
        ("/a/_create/1?op_type=index", {"body": "one"}),
    ],
)
async def test_what_the_upstream_refuses_is_passed_on(path: str, body: Any):
    before = here()
    await before.request("POST", path, body)
    assert len(before.upstream.handed) == 1


async def test_documents_of_other_indices_are_passed_on():
    before = world(target())
    before.registry.writes_to("a")
    await before.request("PUT", "/a/_doc/1", {"body": "one"})
    assert len(before.upstream.handed) == 1


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", None),
        ("?_source=true", True),
        ("?_source=false", False),
        ("?_source=a,b", {"includes": ["a", "b"], "excludes": []}),
        ("?_source_excludes=c", {"includes": [], "excludes": ["c"]}),
    ],
)
async def test_what_an_update_shows_of_the_document(query: str, shown: Any):
    there = {"docs": [{"_index": "a", "_id": "1", "found": False}]}
    before = here(there, done("update", 200))
    await before.request("POST", f"/a/_update/1{query}", {"doc": {"body": "one"}})
    line = orjson.loads(before.upstream.asked[-1].body.splitlines()[0])
    assert line["update"].get("_source") == shown
