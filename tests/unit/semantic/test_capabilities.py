"""`_field_caps`: semantic fields can be searched."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.unit.semantic.exchanges import Answer, World, world
from tests.unit.semantic.targets import semantic_field, target

BODY: Final = semantic_field(aliases=("alias",))
SEARCHABLE: Final = {
    "type": "text",
    "metadata_field": False,
    "searchable": True,
    "aggregatable": False,
}
PLACEHOLDER: Final = {**SEARCHABLE, "searchable": False}


def here(fields: Any, *indices: str) -> World:
    return world(target(BODY), {"indices": list(indices or ("a",)), "fields": fields})


async def shown(before: World, query: str = "?fields=*") -> Any:
    return (await before.request("GET", f"/a/_field_caps{query}"))["fields"]


async def test_a_placeholder_is_shown_as_a_text_that_can_be_searched():
    fields = {
        "body": {"text": PLACEHOLDER},
        "alias": {"text": PLACEHOLDER},
        "title": {"text": SEARCHABLE},
        "xinf.body.chunks": {"nested": {}},
    }
    assert await shown(here(fields)) == {
        "body": {"text": SEARCHABLE},
        "alias": {"text": SEARCHABLE},
        "title": {"text": SEARCHABLE},
    }


async def test_where_it_is_something_else_it_stays_so():
    only = {**PLACEHOLDER, "indices": ["a", "b", "c"], "non_searchable_indices": ["a", "b"]}
    fields = {"body": {"text": {**PLACEHOLDER}}}
    found = await shown(here(fields, "a", "b"))
    assert found["body"]["text"] == {**PLACEHOLDER, "non_searchable_indices": ["b"]}
    found = await shown(here({"body": {"text": only}}, "a", "b", "c"))
    assert found["body"]["text"]["non_searchable_indices"] == ["b"]
    before = here({"body": {"keyword": PLACEHOLDER}})
    await before.request("GET", "/a/_field_caps?fields=*")
    assert len(before.upstream.handed) == 1


async def test_whether_a_field_has_values_its_vectors_tell():
    fields: Any = {"xinf.body.chunks.embeddings": {"dense_vector": {}}}
    query = "?fields=b*&include_empty_fields=false&types=text"
    before = here(fields)
    assert await shown(before, query) == {"body": {"text": SEARCHABLE}}
    asked = before.upstream.asked[0].target
    assert "xinf.%2A.chunks.embeddings" in asked
    assert "types=text%2Cdense_vector" in asked
    assert await shown(here({}), query) == {}


async def test_a_body_that_says_nothing_counts_for_nothing():
    before = here({"xinf.body.chunks": {"nested": {}}})
    assert await before.request("POST", "/a/_field_caps?fields=*", b"{}\n{}\n") == {
        "indices": ["a"],
        "fields": {},
    }


async def test_other_indices_are_passed_on():
    before = world(target())
    await before.request("GET", "/a/_field_caps?fields=*")
    assert len(before.upstream.handed) == 1


async def test_a_filter_by_meaning_is_rewritten():
    before = here({})
    body = {"index_filter": {"semantic": {"field": "body", "query": "one"}}}
    await before.request("POST", "/a/_field_caps?fields=*", body)
    assert "semantic" not in str(before.upstream.asked[0].json)


@pytest.mark.parametrize("status", [400, 404])
async def test_errors_speak_of_the_users_fields(status: int):
    refused = Answer({"error": {"reason": "[xinf.body.chunks]"}}, status)
    answer = await world(target(BODY), refused).answer("GET", "/a/_field_caps?fields=*")
    assert answer.status == status
    assert b"xinf" not in answer.body  # type: ignore[attr-defined]


@pytest.mark.parametrize("body", [b"[1]", b"rubbish", b'{"fields":'])
async def test_what_is_no_object_is_the_upstreams_to_refuse(body: bytes):
    before = here({})
    await before.request("POST", "/a/_field_caps?fields=*", body)
    assert [one.body for one in before.upstream.handed] == [body]
