"""Documents written one at a time."""

from __future__ import annotations

import gzip

import cbor2
import orjson
import pytest

from tests.integration.semantic.writes.site import Site, is_close, semantic
from tests.support.rawhttp import send

PREFIX = "ws-"  # of the names that only these tests use


def test_a_document_is_stored_with_its_vectors(site: Site) -> None:
    site.make("ws-one")
    answer = site.send("PUT", "/ws-one/_doc/1?refresh=true", {"body": "the tide is low"})
    assert answer.status == 201
    document = orjson.loads(answer.content)
    assert list(document)[:4] == ["_index", "_id", "_version", "result"]
    assert document["forced_refresh"] is True
    assert answer.header("Location") == "/ws-one/_doc/1"
    assert site.chunks("ws-one", "1") == [("body", 0, 15)]
    assert is_close(site.vectors("ws-one", "1")[0], "the tide is low")


def test_what_is_put_in_is_found_by_no_query_on_default_fields(site: Site):
    index = site.make("ws-one")
    site.ok("PUT", f"/{index}/_doc/1?refresh=true", {"body": "a text"})
    found = site.ok("GET", f"/{index}/_search?q=true", base=site.upstream)
    assert found["hits"]["total"]["value"] == 0


def test_an_identifier_is_made_and_told(site: Site) -> None:
    site.make("ws-one")
    answer = site.ok("POST", "/ws-one/_doc", {"body": "no name"})
    assert site.chunks("ws-one", answer["_id"]) == [("body", 0, 7)]


@pytest.mark.parametrize("target", ["/ws-one/_create/1", "/ws-one/_doc/1?op_type=create"])
def test_create_refuses_what_is_there(site: Site, target: str) -> None:
    site.make("ws-one")
    assert site.send("PUT", target, {"body": "first"}).status == 201
    answer = site.send("PUT", target, {"body": "second"})
    assert answer.status == 409
    error = orjson.loads(answer.content)
    assert error["status"] == 409
    assert error["error"]["type"] == "version_conflict_engine_exception"
    assert error["error"]["root_cause"][0]["type"] == "version_conflict_engine_exception"


def test_versions_and_routing_are_the_upstreams(site: Site) -> None:
    site.make("ws-one")
    first = site.send(
        "PUT", "/ws-one/_doc/1?routing=a%20b&version=7&version_type=external", {"body": "x"}
    )
    assert orjson.loads(first.content)["_version"] == 7
    assert first.header("Location") == "/ws-one/_doc/1?routing=a%20b"
    stale = site.send(
        "PUT", "/ws-one/_doc/1?routing=a%20b&version=6&version_type=external", {"body": "y"}
    )
    assert stale.status == 409
    guarded = site.send(
        "PUT", "/ws-one/_doc/1?routing=a%20b&if_seq_no=5&if_primary_term=1", {"body": "y"}
    )
    assert guarded.status == 409


@pytest.mark.parametrize("query", ["if_seq_no=x&if_primary_term=1", "nonsense=1", "timeout=x"])
def test_bad_parameters_are_refused_in_the_upstreams_words(site: Site, query: str) -> None:
    site.make("ws-one")
    site.make("ws-plain", {"body": {"type": "text"}})
    answer = site.send("PUT", f"/ws-one/_doc/1?{query}", {"body": "x"})
    expected = site.send("PUT", f"/ws-plain/_doc/1?{query}", {"body": "x"}, base=site.upstream)
    assert answer.status == expected.status == 400
    assert answer.text.replace("ws-one", "ws-plain") == expected.text


def test_a_document_on_many_lines_with_comments(site: Site) -> None:
    site.make("ws-one")
    site.ok(
        "PUT", "/ws-one/_doc/1", b'{\n  "body": "a // b", // no\r\n  "title": "t" /* no */\n}\n'
    )
    assert site.chunks("ws-one", "1") == [("body", 0, 6)]


def test_a_gzipped_document(site: Site) -> None:
    site.make("ws-one")
    headers = [("Content-Type", "application/json"), ("Content-Encoding", "gzip")]
    answer = send(site.proxy, "PUT", "/ws-one/_doc/1", headers, gzip.compress(b'{"body":"small"}'))
    assert answer.status == 201, answer.text
    assert site.chunks("ws-one", "1") == [("body", 0, 5)]


@pytest.mark.parametrize(
    ("media", "body"),
    [
        ("application/yaml", b"body: in yaml\ntitle: 1.0\n"),
        ("application/cbor", cbor2.dumps({"body": "in cbor", "title": 1.0})),
    ],
)
def test_documents_in_other_formats(site: Site, media: str, body: bytes) -> None:
    site.make("ws-one")
    answer = send(site.proxy, "PUT", "/ws-one/_doc/1", [("Content-Type", media)], body)
    assert answer.status == 201, answer.content
    assert site.chunks("ws-one", "1") == [("body", 0, 7)]


def test_numbers_and_booleans_are_embedded_as_java_prints_them(site: Site) -> None:
    site.make("ws-one")
    body = b'{"body":[1.0,1e400,12345678901234567890123,true,"x",0.00001]}'
    site.ok("PUT", "/ws-one/_doc/1", body)
    assert site.embedder.texts == [
        "1.0",
        "Infinity",
        "12345678901234567890123",
        "true",
        "x",
        "1.0E-5",
    ]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"body":{"a":1}}', "HashMap"),
        (b'{"body":["a",null]}', "ArrayList"),
        (b'{"body":[["a"],["b"]]}', "ArrayList"),
    ],
)
def test_values_that_are_no_text_are_refused(site: Site, body: bytes, kind: str) -> None:
    site.make("ws-one")
    answer = site.send("PUT", "/ws-one/_doc/1", body)
    assert answer.status == 400
    error = orjson.loads(answer.content)["error"]
    assert error["type"] == "status_exception"
    assert error["reason"] == (
        f"Invalid format for field [body], expected [String|Number|Boolean] got [{kind}]"
    )


def test_dotted_and_nested_names_are_found(site: Site) -> None:
    site.make("ws-one", {"a": {"properties": {"b": semantic()}}})
    site.ok("PUT", "/ws-one/_doc/1", {"a.b": "dotted"})
    site.ok("PUT", "/ws-one/_doc/2", {"a": [{"b": "first"}, {"c": 1}, {"b": "second"}]})
    assert site.chunks("ws-one", "1", "a:b") == [("a.b", 0, 6)]
    assert site.chunks("ws-one", "2", "a:b") == [("a.b", 0, 5), ("a.b", 6, 12)]


@pytest.mark.parametrize("body", [{"xinf": 1}, {"xinf.body": {"chunks": []}}])
def test_the_name_of_the_layer_is_refused_and_not_told(site: Site, body: object) -> None:
    site.make("ws-one")
    answer = site.send("PUT", "/ws-one/_doc/1", body)
    assert answer.status == 400
    assert b"xinf" not in answer.content


def test_errors_of_the_upstream_do_not_quote_vectors(site: Site) -> None:
    site.make("ws-one", {"body": semantic(), "n": {"type": "long"}})
    for body in (b'{"body":"x","n":"no number"}', b'{"body":"x","body":"y"}', b'{"body":"x",'):
        answer = site.send("PUT", "/ws-one/_doc/1", body)
        assert answer.status == 400, answer.text
        assert b"xinf" not in answer.content
        assert b"embeddings" not in answer.content


def test_a_missing_endpoint_is_a_404(site: Site) -> None:
    site.make("ws-one", {"body": semantic("w-nowhere")})
    answer = site.send("PUT", "/ws-one/_doc/1", {"body": "x"})
    assert answer.status == 404
    assert orjson.loads(answer.content)["error"] == {
        "root_cause": [
            {
                "type": "resource_not_found_exception",
                "reason": "Inference id [w-nowhere] not found for field [body]",
            }
        ],
        "type": "resource_not_found_exception",
        "reason": "Inference id [w-nowhere] not found for field [body]",
    }


def test_more_than_512_chunks_of_a_value_are_merged(site: Site) -> None:
    settings = {"strategy": "word", "max_chunk_size": 10, "overlap": 1}
    site.make("ws-one", {"body": semantic(chunking_settings=settings)})
    text = " ".join(f"w{number}" for number in range(6000))
    site.ok("PUT", "/ws-one/_doc/1", {"body": [text, "and more"]})
    chunks = site.chunks("ws-one", "1")
    assert len(site.embedder.texts) > 600
    assert len(chunks) == 513
    assert chunks[-1] == ("body", len(text) + 1, len(text) + 9)


# Vectors that clients bring along


def _given(**more: object) -> dict[str, object]:
    settings = {
        "service": "hugging_face",
        "task_type": "text_embedding",
        "dimensions": 16,
        "similarity": "cosine",
        "element_type": "float",
    }
    chunk = {"start_offset": 0, "end_offset": 5, "embeddings": [1.0] + [0.0] * 15}
    inference = {
        "inference_id": "w-embed",
        "model_settings": settings,
        "chunks": {"body": [chunk]},
        **more,
    }
    return {"body": {"inference": inference}}


def test_vectors_that_a_client_sends_are_not_made_again(site: Site) -> None:
    site.make("ws-one")
    site.ok("PUT", "/ws-one/_doc/1", {"body": "hello", "_inference_fields": _given(), "title": "t"})
    assert site.embedder.texts == []
    assert site.vectors("ws-one", "1") == [[1.0] + [0.0] * 15]
    assert "_inference_fields" not in site.stored("ws-one", "1")


def test_their_fields_may_be_named_behind_a_dot(site: Site):
    index = site.make("ws-dots", {"body": semantic(), "more": semantic()})
    body, more = _given()["body"], _given(chunks={"more": []})["body"]
    document = {"_inference_fields.body": body, "body": "hello", "_inference_fields.more": more}
    site.ok("PUT", f"/{index}/_doc/1?refresh=true", document)
    assert site.embedder.texts == []
    assert site.stored(index, "1").keys() == {"body", "xinf"}
    mapping = site.ok("GET", f"/{index}/_mapping")[index]["mappings"]
    assert mapping["properties"].keys() == {"body", "more"}
    update = {"doc": {"_inference_fields.body": body}}
    assert site.send("POST", f"/{index}/_update/1", update).status == 400


def test_they_need_no_endpoint(site: Site):
    index = site.make("ws-unknown", {"body": semantic("ws-nobody"), "title": {"type": "text"}})
    given = _given(inference_id="ws-nobody")
    fitting = {"body": "hello", "_inference_fields": given}
    small = {**fitting, "_inference_fields": _given(inference_id="ws-nobody", **_of(3))}
    line: dict[str, object] = {"index": {}}
    target = f"/{index}/_bulk?refresh=true"
    answer = site.bulk(line, fitting, line, fitting, line, small, target=target)
    assert [item["index"]["status"] for item in answer["items"]] == [201, 201, 400]
    assert "Incompatible model settings" in answer["items"][2]["index"]["error"]["reason"]
    query = {"knn": {"field": "body", "query_vector": [1.0] + [0.0] * 15}}
    found = site.ok("POST", f"/{index}/_search", {"query": query})
    assert found["hits"]["total"]["value"] == 2
    mapping = site.ok("GET", f"/{index}/_mapping")[index]["mappings"]["properties"]["body"]
    assert mapping["model_settings"]["dimensions"] == 16


def test_vectors_that_no_index_can_have_are_the_callers_mistake(site: Site):
    index = site.make("ws-unknown", {"body": semantic("ws-nobody")})
    given = _given(inference_id="ws-nobody", **_of(5000))
    answer = site.send("PUT", f"/{index}/_doc/1", {"body": "x", "_inference_fields": given})
    assert answer.status == 400


def _of(dimensions: int) -> dict[str, object]:
    chunk = {"start_offset": 0, "end_offset": 5, "embeddings": [1.0] * dimensions}
    settings = {
        "task_type": "text_embedding",
        "dimensions": dimensions,
        "similarity": "cosine",
        "element_type": "float",
    }
    return {"model_settings": settings, "chunks": {"body": [chunk]}}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"inference_id": "other"},
            "The configured inference_id [other] for field [body] doesn't match the inference_id "
            "[w-embed] reported in the document.",
        ),
        (
            {"model_settings": None},
            "[model_settings] must be set for field [body] when chunks are provided",
        ),
        ({"chunks": 1}, "failed to parse field [_inference_fields] of type [_inference_fields]"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(
    site: Site, change: dict[str, object], reason: str
) -> None:
    site.make("ws-one")
    answer = site.send(
        "PUT", "/ws-one/_doc/1", {"body": "x", "_inference_fields": _given(**change)}
    )
    assert answer.status == 400
    error = orjson.loads(answer.content)["error"]
    assert error["type"] == "document_parsing_exception"
    assert reason in error["reason"]
