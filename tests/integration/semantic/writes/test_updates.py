"""Updates: what they leave alone keeps its vectors, what they change gets new ones."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.integration.semantic.writes.site import Site, is_close, semantic

PREFIX = "wu-"  # of the names that only these tests use

# A field that is made of several.
_JOINED = {
    "all": semantic(),
    "title": {"type": "text", "copy_to": "all"},
    "note": {"type": "text", "copy_to": "all"},
    "n": {"type": "long"},
}


def _update(site: Site, way: str, body: Any, index: str = "wu-a", **meta: Any) -> dict[str, Any]:
    """Update document 1 by itself or in a bulk; its answer."""
    if way == "bulk":
        answer = site.bulk({"update": {"_index": index, "_id": "1", **meta}}, body)
        found: dict[str, Any] = answer["items"][0]["update"]
        return found
    query = "&".join(f"{name}={value}" for name, value in meta.items())
    answered = site.send("POST", f"/{index}/_update/1?{query}", body)
    return {"status": answered.status, **orjson.loads(answered.content)}


both_ways = pytest.mark.parametrize("way", ["single", "bulk"])


@both_ways
def test_what_does_not_touch_the_field_keeps_its_vectors(site: Site, way: str) -> None:
    site.make("wu-a")
    site.ok("PUT", "/wu-a/_doc/1", {"body": "as it was"})
    before = site.vectors("wu-a", "1")
    site.embedder.texts.clear()
    assert _update(site, way, {"doc": {"title": "new"}})["result"] == "updated"
    assert site.vectors("wu-a", "1") == before
    assert site.embedder.texts == []


@both_ways
def test_a_new_text_gets_new_vectors(site: Site, way: str) -> None:
    site.make("wu-a")
    site.ok("PUT", "/wu-a/_doc/1", {"body": "as it was"})
    assert (
        _update(site, way, {"doc": {"body": "as it is now"}, "detect_noop": True})["result"]
        == "updated"
    )
    assert site.chunks("wu-a", "1") == [("body", 0, 12)]
    assert is_close(site.vectors("wu-a", "1")[0], "as it is now")


@both_ways
def test_the_same_text_is_a_noop_and_not_embedded(site: Site, way: str) -> None:
    site.make("wu-a")
    site.ok("PUT", "/wu-a/_doc/1", {"body": ["as it was", 5]})
    before = site.vectors("wu-a", "1")
    site.embedder.texts.clear()
    assert _update(site, way, {"doc": {"body": ["as it was", 5]}})["result"] == "noop"
    assert site.embedder.texts == []
    assert (
        _update(site, way, {"doc": {"body": ["as it was", 5], "title": "x"}})["result"] == "updated"
    )
    assert site.embedder.texts == []
    assert site.vectors("wu-a", "1") == before


@both_ways
@pytest.mark.parametrize("nothing", [None, [], "  "])
def test_null_clears(site: Site, way: str, nothing: Any) -> None:
    site.make("wu-a")
    site.ok("PUT", "/wu-a/_doc/1", {"body": "as it was"})
    assert _update(site, way, {"doc": {"body": nothing}})["result"] == "updated"
    assert site.chunks("wu-a", "1") == []


@both_ways
@pytest.mark.parametrize("shape", ["doc_as_upsert", "upsert"])
def test_documents_that_an_update_makes_have_vectors(site: Site, way: str, shape: str) -> None:
    site.make("wu-a")
    body = (
        {"doc": {"body": "made"}, "doc_as_upsert": True}
        if shape == "doc_as_upsert"
        else {"upsert": {"body": "made"}, "doc": {"body": "not made"}}
    )
    answer = _update(site, way, body)
    assert (answer["status"], answer["result"]) == (201, "created")
    assert is_close(site.vectors("wu-a", "1")[0], "made")
    answer = _update(site, way, body)
    assert answer["result"] == ("noop" if shape == "doc_as_upsert" else "updated")


@both_ways
def test_other_sources_keep_their_chunks(site: Site, way: str) -> None:
    site.make("wu-a", _JOINED)
    site.ok("PUT", "/wu-a/_doc/1", {"title": "old title", "note": "a note", "all": "own"})
    before = dict(
        zip(site.chunks("wu-a", "1", "all"), site.vectors("wu-a", "1", "all"), strict=True)
    )
    site.embedder.texts.clear()
    assert _update(site, way, {"doc": {"title": "new"}})["result"] == "updated"
    after = dict(
        zip(site.chunks("wu-a", "1", "all"), site.vectors("wu-a", "1", "all"), strict=True)
    )
    assert site.embedder.texts == ["new"]
    assert set(after) == {("all", 0, 3), ("note", 0, 6), ("title", 0, 3)}
    assert after["note", 0, 6] == before["note", 0, 6]
    _update(site, way, {"doc": {"note": None}})
    assert sorted(site.chunks("wu-a", "1", "all")) == [("all", 0, 3), ("title", 0, 3)]


def test_updates_of_one_document_in_one_bulk_see_each_other(site: Site) -> None:
    site.make("wu-a", _JOINED)
    items: list[Any] = [{"index": {"_id": "1"}}, {"title": "t0", "note": "n0"}]
    for number in range(1, 6):
        items += [{"update": {"_id": "1"}}, {"doc": {"title": f"t{number}"}}]
        items += [{"update": {"_id": "1"}}, {"doc": {"note": f"n{number} long"}}]
    items += [{"update": {"_id": "1"}}, {"doc": {"title": "t1"}}]
    answer = site.bulk(*items, target="/wu-a/_bulk")
    assert [item["update"]["result"] for item in answer["items"][1:]] == ["updated"] * 11
    assert sorted(site.chunks("wu-a", "1", "all")) == [("note", 0, 7), ("title", 0, 2)]
    vectors = dict(
        zip(site.chunks("wu-a", "1", "all"), site.vectors("wu-a", "1", "all"), strict=True)
    )
    assert is_close(vectors["title", 0, 2], "t1")
    assert is_close(vectors["note", 0, 7], "n5 long")


@both_ways
def test_a_conflict_with_others_is_repeated(site: Site, way: str) -> None:
    """Somebody changes another source while the text is embedded."""
    site.make("wu-a", _JOINED)
    site.ok("PUT", "/wu-a/_doc/1", {"title": "old", "note": "a note"})
    intrusions = [{"doc": {"n": 1}}, {"doc": {"n": 2}}]

    def intrude(texts: list[str]) -> None:
        if texts == ["new"] and intrusions:
            site.ok("POST", "/wu-a/_update/1", intrusions.pop(), base=site.upstream)

    site.embedder.on_call = intrude
    try:
        answer = _update(site, way, {"doc": {"title": "new"}})
    finally:
        site.embedder.on_call = lambda texts: None
    assert answer["result"] == "updated"
    assert sorted(site.chunks("wu-a", "1", "all")) == [("note", 0, 6), ("title", 0, 3)]


def test_the_callers_own_guard_is_kept(site: Site) -> None:
    site.make("wu-a", _JOINED)
    made = site.ok("PUT", "/wu-a/_doc/1", {"title": "old", "note": "a note"})
    stale = _update(
        site, "single", {"doc": {"title": "new"}}, if_seq_no=made["_seq_no"] + 5, if_primary_term=1
    )
    assert stale["status"] == 409
    fresh = _update(
        site, "single", {"doc": {"title": "new"}}, if_seq_no=made["_seq_no"], if_primary_term=1
    )
    assert fresh["status"] == 200


@both_ways
def test_a_missing_document_is_a_404(site: Site, way: str) -> None:
    site.make("wu-a")
    answer = _update(site, way, {"doc": {"body": "x"}})
    assert answer["status"] == 404
    assert answer["error"]["type"] == "document_missing_exception"


@both_ways
def test_the_source_that_is_shown_has_no_vectors(site: Site, way: str) -> None:
    site.make("wu-a")
    site.ok("PUT", "/wu-a/_doc/1", {"body": "old"})
    answer = _update(
        site, way, {"doc": {"body": "new"}}, _source="true" if way == "single" else True
    )
    assert answer["get"]["_source"] == {"body": "new"}
    answer = _update(
        site, way, {"doc": {"title": "t"}}, _source="true" if way == "single" else True
    )
    assert answer["get"]["_source"] == {"body": "new", "title": "t"}


def test_a_script_in_a_bulk_fails_its_item(site: Site) -> None:
    site.make("wu-a")
    answer = _update(site, "bulk", {"script": {"source": "ctx._source.n = 1"}})
    assert answer["status"] == 400
    assert answer["error"]["type"] == "status_exception"
    assert answer["error"]["reason"] == (
        "Cannot apply update with a script on indices that contain [semantic_text] field(s)"
    )


def test_a_script_by_itself_is_the_upstreams(site: Site) -> None:
    """This Elasticsearch has no scripts, and says so."""
    site.make("wu-a")
    site.ok("PUT", "/wu-a/_doc/1", {"body": "old"})
    answer = _update(site, "single", {"script": {"source": "ctx._source.body = 'new'"}})
    assert answer["status"] == 400
    assert "script" in str(answer["error"])
