"""`_bulk`: items of every kind, in bodies of every size."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from elasticsearch import Elasticsearch, helpers

from tests.integration.semantic.writes.site import Site, lines, semantic
from tests.support.rawhttp import send

PREFIX = "wb-"  # of the names that only these tests use


def test_items_of_all_kinds_are_answered_in_order(site: Site) -> None:
    site.make("wb-a")
    site.make("wb-gone", {"body": semantic("w-nowhere")})
    site.make("wb-plain", {"body": {"type": "text"}})
    answer = site.bulk(
        {"index": {"_index": "wb-a", "_id": "1"}},
        {"body": ["The moon pulls.", "The water follows."]},
        {"index": {"_index": "wb-gone"}},
        {"body": "lost"},
        {"create": {"_index": "wb-a", "_id": "1"}},
        {"body": "twice"},
        {"update": {"_index": "wb-a", "_id": "1"}},
        {"doc": {"title": "t"}},
        {"delete": {"_index": "wb-a", "_id": "9"}},
        {"index": {"_index": "wb-plain", "_id": "1"}},
        {"body": "not embedded"},
        target="/_bulk?refresh=true",
    )
    assert answer["errors"] is True
    assert [
        (next(iter(item)), *(one["status"] for one in item.values())) for item in answer["items"]
    ] == [
        ("index", 201),
        ("index", 404),
        ("create", 409),
        ("update", 200),
        ("delete", 404),
        ("index", 201),
    ]
    failed = answer["items"][1]["index"]
    assert len(failed["_id"]) == 20
    assert failed["error"] == {
        "type": "resource_not_found_exception",
        "reason": "Inference id [w-nowhere] not found for field [body]",
    }
    assert site.chunks("wb-a", "1") == [("body", 0, 15), ("body", 16, 34)]
    assert "not embedded" not in site.embedder.texts


def test_documents_arrive_byte_for_byte(site: Site) -> None:
    """Compared with the same documents in an index without semantic fields, written directly."""
    mapping = {"keep": {"type": "object", "enabled": False}}
    site.make("wb-a", {"body": semantic(), **mapping})
    site.make("wb-plain", {"body": {"type": "text"}, **mapping})
    documents = [
        rb'{"body":"a","keep":{"n":1.0,"e":1e400,"m":1.50e-3,"i":-0,"z":-0.0}}',
        b'{"keep":{"i":123456789012345678901234567890},"body":"b"}',
        rb'{"body":"x\ud83d y","keep":{"s":"\u00e9\/\ud83d"} }',
        b' { "body" : "spaced" , "keep" : { } } ',
        b'{"body":"c"/*, */}',
        b'{"keep":{"t":"\xed\xa0\xbd"}}',
        b"{}",
    ]
    sent: list[object] = []
    for place, document in enumerate(documents):
        sent += [{"index": {"_id": str(place)}}, document]
    through = site.bulk(*sent, target="/wb-a/_bulk?refresh=true")
    direct = site.bulk(*sent, target="/wb-plain/_bulk?refresh=true", base=site.upstream)
    assert not through["errors"], through
    assert not direct["errors"], direct
    for place in range(len(documents)):
        query = f"/_source/{place}?_source_excludes=xinf"
        found = site.send("GET", f"/wb-a{query}", base=site.upstream).content
        assert found == site.send("GET", f"/wb-plain{query}", base=site.upstream).content
    path = "/wb-a/_doc/2?_source_exclude_vectors=false"
    half = site.send("GET", path, base=site.upstream).content
    assert b'"embeddings"' in half  # half a character does not leave it without vectors


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        b'{"index":{"_id":"1"}}\n',
        b'{"index":{"_id":"1"}}\n{"body":"x"}',
        b'{"index":{"_id":"1"}}\n{"body":"x"}\n{"indx":{}}\n{}\n',
        b'{"index":{"_id":"1"}}\n{"body":"x"}\nrubbish\n',
        b'{"index":{"_id":"1"}}\n{"body":"x"}\n{"index":{"foo":1}}\n{}\n',
        b'{"index":{"_id":"1"}}\n{"body":{"a":1}}\n{"delete":{"_id":"2"}}\n{"index":{"foo":1}}\n{}\n',
        b'{"index":{"_id":"1"}}\n{"body":"x"}\n{"update":{"_id":"1"}}\n{"dok":{}}\n',
        b'{"index":{"_id":"1"}}\n{"body":"x"}\n{"index":{},"create":{}}\n{}\n',
        b'\n{"index":{"_id":"1"}}\n{"body":"x"}\n[]\n',
        b'{"index":{"_id":"1","dynamic_templates":"x"}}\n{"body":"x"}\n',
        b'{"index":{"_id":"1","dynamic_templates":[]}}\n{"body":"x"}\n',
        b'{"index":{"_id":"1","dynamic_templates":{"a":null}}}\n{"body":"x"}\n',
        b'{"index":{"_id":"1","dynamic_templates":0}}\n{"body":"x"}\n',
    ],
)
def test_what_is_no_bulk_is_refused_in_the_upstreams_words(site: Site, body: bytes) -> None:
    site.make("wb-a")
    site.make("wb-plain", {"body": {"type": "text"}})
    answer = site.raw_bulk(body, target="/wb-a/_bulk")
    expected = site.raw_bulk(body, target="/wb-plain/_bulk", base=site.upstream)
    assert (answer.status, answer.content) == (expected.status, expected.content)
    assert answer.status == 400
    assert site.send("GET", "/wb-a/_doc/1", base=site.upstream).status == 404


def test_a_bad_line_of_a_later_window_has_its_number(site: Site) -> None:
    site.make("wb-a", {"body": semantic(), "pad": {"type": "keyword", "index": False}})
    pad = "p" * 30_000
    good: list[object] = []
    for number in range(100):
        good += [{"index": {"_id": str(number)}}, {"pad": pad}]
    answer = site.raw_bulk(lines(*good, {"indx": {}}, {}), target="/wb-a/_bulk")
    assert answer.status == 400
    assert "Malformed action/metadata line [201]" in answer.text


def test_an_action_without_document_at_the_end_is_dropped(site: Site) -> None:
    site.make("wb-a")
    answer = site.bulk({"index": {}}, {"body": "x"}, {"index": {}}, target="/wb-a/_bulk")
    assert len(answer["items"]) == 1


def test_unreadable_documents_fail_alone(site: Site) -> None:
    site.make("wb-a")
    answer = site.bulk(
        {"index": {"_id": "1"}},
        b'{"body": rubbish}',
        {"index": {"_id": "2"}},
        b"",
        {"index": {"_id": "3"}},
        b'{"body":"twice","body":"twice"}',
        {"index": {"_id": "4"}},
        b'{"body":"good"}\r',
        target="/wb-a/_bulk",
    )
    assert [item["index"]["status"] for item in answer["items"]] == [400, 400, 400, 201]
    assert "xinf" not in str(answer)
    assert "embeddings" not in str(answer)


def test_a_gzipped_body(site: Site) -> None:
    site.make("wb-a")
    headers = [("Content-Type", "application/x-ndjson"), ("Content-Encoding", "gzip")]
    body = gzip.compress(lines({"index": {"_id": "1"}}, {"body": "packed"}))
    answer = send(site.proxy, "POST", "/wb-a/_bulk", headers, body)
    assert answer.status == 200
    assert site.chunks("wb-a", "1") == [("body", 0, 6)]


def test_a_format_that_is_not_read_is_refused(site: Site) -> None:
    site.make("wb-a")
    answer = send(
        site.proxy, "POST", "/wb-a/_bulk", [("Content-Type", "application/cbor")], b"\xa0"
    )
    assert answer.status == 406


def test_answers_are_filtered_and_shaped(site: Site) -> None:
    site.make("wb-a")
    body = lines({"index": {"_id": "1"}}, {"body": "x"})
    filtered = site.raw_bulk(body, target="/wb-a/_bulk?filter_path=items.*._id")
    assert orjson.loads(filtered.content) == {"items": [{"index": {"_id": "1"}}]}
    pretty = site.raw_bulk(body, target="/wb-a/_bulk?pretty")
    assert pretty.content.startswith(b'{\n  "errors" : false')


def test_large_bodies_are_answered_item_by_item_and_refreshed(site: Site) -> None:
    """Several windows, several shards: all can be searched at once, and say so."""
    site.make(
        "wb-a",
        {"body": semantic(), "pad": {"type": "keyword", "index": False, "doc_values": False}},
        settings={"number_of_shards": 3, "refresh_interval": "-1"},
    )
    site.make("wb-b", {"body": semantic()}, settings={"refresh_interval": "-1"})
    pad = "p" * 20_000

    def body() -> Iterator[bytes]:
        yield lines({"index": {"_index": "wb-b"}}, {"body": "elsewhere"})
        for number in range(300):
            action = {"index": {"_index": "wb-a", "_id": str(number)}}
            yield lines(action, {"body": f"number {number}", "pad": pad})
            if number == 0:
                yield lines({"update": action["index"]}, {"doc": {}})

    answer = site.raw_bulk(body(), target="/_bulk?refresh=true")
    items = orjson.loads(answer.content)["items"]
    unchanged = items.pop(2)["update"]
    assert (unchanged["result"], unchanged["forced_refresh"]) == ("noop", True)
    assert [item["index"]["_id"] for item in items[1:]] == [str(number) for number in range(300)]
    assert all(item["index"]["forced_refresh"] for item in items)
    for index, count in (("wb-a", 300), ("wb-b", 1)):
        path = f"/{index}/_search?size=0&track_total_hits=true"
        assert site.ok("GET", path, base=site.upstream)["hits"]["total"]["value"] == count


def test_the_official_helpers(site: Site) -> None:
    site.make("wb-a")
    client = Elasticsearch(site.proxy)
    documents = [
        {"_index": "wb-a", "_id": str(number), "body": f"number {number}"} for number in range(1200)
    ]
    with client:
        assert helpers.bulk(client, documents[:400], refresh=True) == (400, [])
        done = helpers.parallel_bulk(client, documents[400:800], thread_count=3, chunk_size=50)
        assert all(ok for ok, _ in done)
        updates = [
            {"_op_type": "update", "_index": "wb-a", "_id": one["_id"], "doc_as_upsert": True}
            | {"doc": {"body": one["body"]}}
            for one in documents[800:]
        ]
        assert all(ok for ok, _ in helpers.streaming_bulk(client, updates, chunk_size=100))
        client.indices.refresh(index="wb-a")
        assert client.count(index="wb-a")["count"] == 1200
    for number in (0, 500, 1100):
        assert len(site.chunks("wb-a", str(number))) == 1


# Where items go


def test_aliases_lead_to_their_write_index(site: Site) -> None:
    site.make("wb-old", {"body": {"type": "text"}}, aliases={"wb-alias": {}})
    site.make("wb-new", aliases={"wb-alias": {"is_write_index": True}})
    answer = site.bulk(
        {"index": {"_index": "wb-alias", "_id": "1", "require_alias": True}}, {"body": "x"}
    )
    assert answer["items"][0]["index"]["_index"] == "wb-new"
    assert site.chunks("wb-new", "1") == [("body", 0, 1)]
    actions = [
        {"add": {"index": "wb-old", "alias": "wb-alias", "is_write_index": True}},
        {"add": {"index": "wb-new", "alias": "wb-alias", "is_write_index": False}},
    ]
    site.ok("POST", "/_aliases", {"actions": actions})
    site.embedder.texts.clear()
    for _ in range(2):  # an alias that was just moved by somebody is noticed at the latest now
        answer = site.bulk({"index": {"_index": "wb-alias", "_id": "2"}}, {"body": "y"})
        assert answer["items"][0]["index"]["status"] < 300
    assert answer["items"][0]["index"]["_index"] == "wb-old"
    assert site.stored("wb-old", "2") == {"body": "y"}


def test_items_of_one_document_keep_their_order_whatever_they_call_its_index(site: Site) -> None:
    copied = {"type": "text", "copy_to": "body"}
    site.make("wb-a", {"body": semantic(), "title": copied}, aliases={"wb-named": {}})
    site.bulk({"index": {"_index": "wb-a", "_id": "1"}}, {"body": "before", "title": "title"})
    parts: list[Any] = []
    names: list[dict[str, str]] = [{"_index": "wb-named"}, {"_index": "wb-a"}, {}]
    for number, name in enumerate([*names, *names]):
        parts += [{"update": {"_id": "1", **name}}, {"doc": {"body": f"text {number}"}}]
    parts += [{"index": {"_index": "wb-named", "_id": "1"}}, {"body": "last"}]
    items = site.bulk(*parts, target="/wb-a/_bulk")["items"]
    versions = [answer["_version"] for item in items for answer in item.values()]
    assert versions == list(range(2, 9))
    assert site.stored("wb-a", "1")["body"] == "last"
    assert site.chunks("wb-a", "1") == [("body", 0, 4)]


def test_an_item_that_fails_here_tells_its_index_by_name(site: Site) -> None:
    site.make("wb-a", aliases={"wb-named": {}})
    failed = site.bulk({"index": {"_index": "wb-named", "_id": "1"}}, {"body": {"a": 1}})
    assert failed["items"][0]["index"]["_index"] == "wb-a"


def test_an_alias_that_is_required_and_missing_fails_its_item(site: Site) -> None:
    site.make("wb-a")
    answer = site.bulk({"index": {"_index": "wb-a", "require_alias": True}}, {"body": "x"})
    assert answer["items"][0]["index"]["status"] == 404
    assert site.send("POST", "/wb-a/_doc?require_alias=true", {"body": "x"}).status == 404


@pytest.mark.parametrize("kind", ["_index_template", "_template"])
def test_templates_of_both_kinds_make_indices(site: Site, kind: str) -> None:
    mappings = {"mappings": {"properties": {"body": semantic()}}}
    body: dict[str, Any] = {"index_patterns": ["wb-tpl-*"]}
    body |= mappings if kind == "_template" else {"template": mappings}
    site.ok("PUT", f"/{kind}/wb-tpl", body)
    answer = site.bulk({"index": {"_index": "wb-tpl-1", "_id": "1"}}, {"body": "x"})
    assert answer["errors"] is False
    assert site.chunks("wb-tpl-1", "1") == [("body", 0, 1)]
    site.ok("PUT", "/wb-tpl-2/_doc/1", {"body": "y"})
    assert site.chunks("wb-tpl-2", "1") == [("body", 0, 1)]


def test_names_with_date_math(site: Site) -> None:
    template = {"mappings": {"properties": {"body": semantic()}}}
    site.ok(
        "PUT", "/_index_template/wb-tpl", {"index_patterns": ["wb-day-*"], "template": template}
    )
    for _ in range(2):
        answer = site.bulk({"index": {"_index": "<wb-day-{now/d}>"}}, {"body": "x"})
        made = answer["items"][0]["index"]
        assert site.chunks(made["_index"], made["_id"]) == [("body", 0, 1)]


def test_an_endpoint_that_comes_after_the_template(site: Site) -> None:
    template = {"mappings": {"properties": {"body": semantic("wb-late")}}}
    site.ok(
        "PUT", "/_index_template/wb-tpl", {"index_patterns": ["wb-tpl-*"], "template": template}
    )
    action = {"index": {"_index": "wb-tpl-1", "_id": "1"}}
    assert site.bulk(action, {"body": "x"})["items"][0]["index"]["status"] == 404
    site.put_endpoint("wb-late")
    assert site.bulk(action, {"body": "x"})["items"][0]["index"]["status"] == 201
    assert site.chunks("wb-tpl-1", "1") == [("body", 0, 1)]
    site.send("DELETE", "/_inference/wb-late?force=true")


@pytest.mark.parametrize("templates", [{"new": "nowhere"}, {"body": "nowhere"}, {"new": 1}, None])
def test_names_of_dynamic_templates_that_there_are_not_are_the_items_error(
    site: Site, templates: Any
) -> None:
    site.make("wb-a")
    site.make("wb-plain", {"body": {"type": "text"}})
    document = {"new": "x", "body": "a text"}
    action = {"index": {"_id": "1", "dynamic_templates": templates}}
    sent = [action, document, {"index": {"_id": "2"}}, document]
    found = site.bulk(*sent, target="/wb-a/_bulk")["items"]
    expected = site.bulk(*sent, target="/wb-plain/_bulk", base=site.upstream)["items"]
    assert [one["index"].get("error") for one in found] == [
        one["index"].get("error") for one in expected
    ]
    assert [one["index"]["status"] for one in found] == [one["index"]["status"] for one in expected]


def test_the_users_dynamic_templates_stay(site: Site) -> None:
    mappings = {
        "dynamic_templates": [{"exact": {"mapping": {"type": "keyword"}}}],
        "properties": {"body": semantic()},
    }
    site.ok("PUT", "/wb-a", {"mappings": mappings})
    action = {"index": {"_id": "1", "dynamic_templates": {"name": "exact"}}}
    assert not site.bulk(action, {"body": "x", "name": "n"}, target="/wb-a/_bulk")["errors"]
    shown = site.ok("GET", "/wb-a/_mapping")["wb-a"]["mappings"]["properties"]
    assert shown["name"] == {"type": "keyword"}


def test_an_index_made_anew_by_somebody_else_is_not_spoilt(site: Site) -> None:
    site.make("wb-a")
    assert not site.bulk({"index": {}}, {"body": "x"}, target="/wb-a/_bulk")["errors"]
    site.ok("DELETE", "/wb-a", base=site.upstream)
    site.ok("PUT", "/wb-a", {}, base=site.upstream)
    answer = site.bulk({"index": {"_id": "1"}}, {"body": "y"}, target="/wb-a/_bulk")
    assert answer["items"][0]["index"]["status"] == 201, answer
    assert site.stored("wb-a", "1") == {"body": "y"}
    assert list(
        site.ok("GET", "/wb-a/_mapping", base=site.upstream)["wb-a"]["mappings"]["properties"]
    ) == ["body"]


# Pipelines


def test_pipelines_run_before_texts_are_embedded(site: Site) -> None:
    site.ok("PUT", "/_ingest/pipeline/wb-p", {"processors": []}, base=site.upstream)
    site.make("wb-a", settings={"default_pipeline": "wb-p"})
    answer = site.bulk(
        {"index": {"_id": "1"}},
        {"body": "by default", "n": 1.0},
        {"index": {"_id": "2", "pipeline": "_none"}},
        {"body": "without"},
        {"index": {"_id": "3", "pipeline": "wb-missing"}},
        {"body": "no such pipeline"},
        target="/wb-a/_bulk",
    )
    assert [item["index"]["status"] for item in answer["items"]] == [201, 201, 400]
    assert answer["items"][2]["index"]["error"] == {
        "type": "illegal_argument_exception",
        "reason": "pipeline with id [wb-missing] does not exist",
    }
    assert site.chunks("wb-a", "1") == [("body", 0, 10)]
    assert site.chunks("wb-a", "2") == [("body", 0, 7)]
    site.ok("PUT", "/wb-a/_doc/4?pipeline=wb-p", {"body": "by name"})
    assert site.chunks("wb-a", "4") == [("body", 0, 7)]
    site.send("DELETE", "/_ingest/pipeline/wb-p", base=site.upstream)


# At a plain index


def _documents(count: int, size: int = 100) -> list[Any]:
    found: list[Any] = []
    for number in range(count):
        found += [{"index": {"_id": str(number)}}, {"pad": "p" * size, "n": number}]
    return found


def test_a_large_body_goes_to_a_plain_index_as_it_comes(site: Site) -> None:
    site.make("wb-a")
    site.make("wb-plain", {"pad": {"type": "keyword", "index": False}})
    body = lines(*_documents(3000))
    chunked = (body[at : at + 10_000] for at in range(0, len(body), 10_000))
    for sent, version in ((body, 1), (chunked, 2)):
        answer = site.raw_bulk(sent, target="/wb-plain/_bulk?refresh=true")
        items = orjson.loads(answer.content)["items"]
        assert [item["index"]["_id"] for item in items] == [str(n) for n in range(3000)]
        assert {item["index"]["_version"] for item in items} == {version}
        assert all(item["index"]["forced_refresh"] for item in items)
    rubbish = site.raw_bulk(body + b"rubbish\n", target="/wb-plain/_bulk")
    direct = site.raw_bulk(body + b"rubbish\n", target="/wb-plain/_bulk", base=site.upstream)
    assert (rubbish.status, rubbish.content) == (direct.status, direct.content)


def test_lines_that_name_a_semantic_index_behind_many_that_name_none(site: Site) -> None:
    site.make("wb-a")
    site.make("wb-plain", {"pad": {"type": "keyword", "index": False}})
    plain, named = _documents(2000), {"index": {"_index": "wb-a", "_id": "x"}}
    behind = [{"delete": {"_id": "1"}}, {"create": {"_id": "2"}}, {"n": 2}]
    answer = site.bulk(
        *plain, named, {"body": "a text"}, *behind, target="/wb-plain/_bulk?refresh=true"
    )
    entries = [next(iter(item.values())) for item in answer["items"]]
    assert [entry["_id"] for entry in entries] == [*map(str, range(2000)), "x", "1", "2"]
    assert [entry["status"] for entry in entries[2000:]] == [201, 200, 409]
    assert answer["errors"] is True
    assert "xinf" in site.stored("wb-a", "x")
    assert site.ok("GET", "/wb-plain/_count")["count"] == 1999
