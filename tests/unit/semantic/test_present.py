"""What an update finds in the document that it changes."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest

from proxy.ground.errors import UpstreamUnavailable
from proxy.semantic.bulk import Guard, Item, prepare_all
from proxy.semantic.chunking.chunker import chunker_for
from proxy.semantic.present import chunks_there, consider, consider_present, needs_present
from tests.unit.semantic.exchanges import Answer, world
from tests.unit.semantic.targets import semantic_field, target

FIELD: Final = semantic_field(sources=("body", "title"))
CHUNKER: Final = chunker_for(None)


def update(meta: Any = None, **doc: Any) -> Item:
    given = {"_id": "1", **(meta or {})}
    item = Item(
        action="update",
        meta=given,
        action_line=orjson.dumps({"update": given}),
        source=orjson.dumps({"doc": doc}),
        fields={"body": FIELD},
        chunkers={"body": CHUNKER},
    )
    prepare_all([item])
    return item


def chunk(source: str, end: int, **more: Any) -> dict[str, Any]:
    return {"field": source, "start": 0, "end": end, "embeddings": [1.0, 0.0, 0.0], **more}


def found(*chunks: Any, **source: Any) -> dict[str, Any]:
    return {
        "found": True,
        "_seq_no": 7,
        "_primary_term": 2,
        "_source": {**source, "xinf": {"body": {"chunks": list(chunks)}}},
    }


def filled(item: Item) -> Any:
    assert item.filling is not None
    return item.filling.fields.get("body")


def test_a_text_that_stays_is_not_embedded_again():
    item = update(body="one")
    consider(item, found(chunk("body", 3), body="one"))
    assert filled(item) is None
    assert item.guard == Guard(if_seq_no=7, if_primary_term=2)


def test_of_several_sources_the_others_are_kept():
    item = update(body="new")
    consider(item, found(chunk("body", 3), chunk("title", 5), body="one", title="title"))
    made = filled(item)
    assert [one.source for one in made.chunks] == ["body"]
    assert [orjson.loads(one)["field"] for one in made.kept] == ["title"]
    assert item.guard is not None


def test_those_without_vectors_are_embedded_again():
    item = update(body="new")
    bare = {"field": "title", "start": 0, "end": 5}
    consider(item, found(chunk("body", 3), bare, body="one", title="title"))
    assert [one.source for one in filled(item).chunks] == ["body", "title"]


def test_a_text_that_is_cut_otherwise_by_now_is_embedded_again():
    item = update(body="one")
    consider(item, found(chunk("body", 2), body="one"))
    assert [one.source for one in filled(item).chunks] == ["body"]


def test_what_is_there_may_be_what_no_document_could_bring():
    item = update(body="new")
    bare = {"field": "title", "start": 0, "end": 5}
    consider(item, found(chunk("body", 3), bare, body=[["one"]], title=["title", ["two"]]))
    assert item.failure is None
    assert [one.source for one in filled(item).chunks] == ["body", "title", "title"]


def test_a_document_that_is_not_there_changes_nothing():
    item = update(body="one")
    consider(item, {"found": False})
    assert len(filled(item).chunks) == 1
    assert item.guard is None


def test_a_caller_who_guards_it_itself_is_not_guarded():
    item = update({"if_seq_no": 1, "if_primary_term": 1}, body="one")
    consider(item, found(chunk("body", 3), body="one"))
    assert item.guard is None


def test_nor_does_one_whose_index_is_not_there():
    item = update(body="one")
    consider(item, {"error": {"type": "index_not_found_exception"}})
    assert item.failure is None


@pytest.mark.parametrize(
    ("document", "status"),
    [
        (None, 403),
        ({"error": {"type": "security_exception"}}, 403),
        ({"error": {"type": "no_shard_available_action_exception"}}, 503),
        ({"error": "slow down"}, 503),
        ({"error": "slow down", "found": False}, 503),
        ({}, 503),
        ("x", 503),
    ],
)
def test_what_cannot_be_read_of_other_sources_must_not_be_lost(document: Any, status: int):
    item = update(body="one")
    consider(item, document)
    assert item.failure is not None
    assert item.failure.status == status


@pytest.mark.parametrize(
    ("source", "count"),
    [({}, 0), ({"xinf": None}, 0), ({"xinf": {"body": {"chunks": {"field": "body"}}}}, 1)],
)
def test_the_chunks_of_a_document(source: Any, count: int):
    assert len(chunks_there(source, "body")) == count


def test_only_what_can_be_looked_for_is():
    assert needs_present(update(body="one"))
    item = update(body="one")
    item.failure = UpstreamUnavailable("away")
    assert not needs_present(item)


async def test_documents_are_read_together_with_their_vectors():
    here = world(target(), {"docs": [found(chunk("body", 3), body="one"), {"found": False}]})
    exchange, _ = here.exchange("POST", "/a/_bulk")
    items = [update({"routing": "r"}, body="one"), update(body="one")]
    await consider_present(exchange, [("a", one) for one in items])
    (asked,) = here.upstream.asked
    assert asked.target == (
        "/_mget?_source_includes=body%2Ctitle%2Cxinf.body&_source_exclude_vectors=false"
    )
    assert asked.json["docs"][0] == {"_index": "a", "_id": "1", "routing": "r"}
    assert [filled(one) is None for one in items] == [True, False]


async def test_before_9_2_vectors_are_shown_unasked():
    here = world(target(), Answer({}, 400), {"docs": [{"found": False}]})
    exchange, _ = here.exchange("POST", "/a/_bulk")
    await consider_present(exchange, [("a", update(body="one"))])
    assert "exclude_vectors" not in here.upstream.asked[1].target


@pytest.mark.parametrize("status", [429, 503])
async def test_an_upstream_that_cannot_read_now_is_no_caller_who_may_not(status: int):
    exchange, _ = world(target(), Answer({}, status)).exchange("POST", "/a/_bulk")
    with pytest.raises(UpstreamUnavailable):
        await consider_present(exchange, [("a", update(body="one"))])
