"""Fields of sparse endpoints before a real Elasticsearch: declared, filled, shown, changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from testbed.elasticsearch import Elasticsearch
from tests.integration.semantic.meaningful import Place, ids, place, semantic
from tests.support.meaning import weights
from tests.support.processes import Serve

MODEL: Final = {"service": "hugging_face", "task_type": "sparse_embedding"}
TEXTS: Final = ["harbour pilot ships", "release v1.2"]
PRUNED: Final = {"prune": True, "pruning_config": {"tokens_freq_ratio_threshold": 4}}
UNPRUNED: Final = {"prune": False}


@pytest.fixture(scope="module")
def here(serve_for_session: Serve, elasticsearch: Elasticsearch) -> Iterator[Place]:
    with place(serve_for_session, elasticsearch, "t-sparse-writes") as found:
        found.endpoint("e", "/sparse")
        found.endpoint("e2", "/sparse")
        found.endpoint("dense")
        yield found


def sparse(here: Place, endpoint: str = "e", **more: Any) -> Any:
    return {"type": "semantic_text", "inference_id": here.name(endpoint), **more}


def put(here: Place, target: str, body: Any) -> tuple[int, Any]:
    answer = here.client("PUT", target, body)
    assert "xinf" not in answer.text
    return answer.status, answer.document


def declared(here: Place, short: str, **parameters: Any) -> tuple[int, Any]:
    """The answer to a mapping of the field `body` of a new index."""
    here.client("DELETE", f"/{here.name(short)}")
    mappings = {"properties": {"body": sparse(here, **parameters)}}
    return put(here, f"/{here.name(short)}", {"mappings": mappings})


def mapping(here: Place, short: str) -> Any:
    answer = here.client("GET", f"/{here.name(short)}/_mapping")
    assert "xinf" not in answer.text
    return answer.document[here.name(short)]["mappings"]["properties"]["body"]


def inference(here: Place, short: str, document: str = "1") -> Any:
    """What a document holds of the field `body`."""
    found = here.search(short, {"ids": {"values": [document]}}, fields=["_inference_fields"])
    source = found["hits"]["hits"][0]["_source"]
    return source.get("_inference_fields", {}).get("body", {}).get("inference")


def embeddings(here: Place, short: str, document: str = "1") -> list[Any]:
    chunks = inference(here, short, document)["chunks"]["body"]
    return [chunk["embeddings"] for chunk in chunks]


def reason(document: Any) -> str:
    return str(document["error"]["reason"])


# --- declarations


def test_the_mapping_shows_the_model_once_a_document_has_tokens(here):
    here.index("shown", {}, body=sparse(here))
    assert mapping(here, "shown") == sparse(here)
    put(here, f"/{here.name('shown')}/_doc/1?refresh=true", {"body": TEXTS[0]})
    assert mapping(here, "shown") == sparse(here, model_settings=MODEL)
    target = f"/{here.name('shown')}/_mapping/field/body?include_defaults=true"
    (found,) = here.client("GET", target).document.values()
    shown = found["mappings"]["body"]["mapping"]["body"]
    thresholds = {"tokens_freq_ratio_threshold": 5.0, "tokens_weight_threshold": 0.4}
    options = {"prune": True, "pruning_config": thresholds}
    assert shown["index_options"] == {"sparse_vector": options}


def test_a_declaration_may_come_before_its_endpoint(here):
    here.client("DELETE", f"/_inference/{here.name('late')}?force=true")
    assert declared(here, "early", endpoint="late")[0] == 200
    status, document = put(here, f"/{here.name('early')}/_doc/1", {"body": TEXTS[0]})
    assert (status, document["error"]["type"]) == (404, "resource_not_found_exception")
    here.endpoint("late", "/sparse")
    put(here, f"/{here.name('early')}/_doc/1?refresh=true", {"body": TEXTS[0]})
    assert mapping(here, "early")["model_settings"] == MODEL
    assert ids(here.search("early", semantic("pilot"))) == ["1"]


def test_a_model_may_be_declared(here):
    settings = {"task_type": "sparse_embedding"}
    assert declared(here, "model", endpoint="nowhere", model_settings=settings)[0] == 200
    assert mapping(here, "model")["model_settings"] == settings
    status, document = declared(here, "model", endpoint="dense", model_settings=settings)
    assert status == 400
    assert "Mismatch between provided and registered inference model settings" in reason(document)
    status, document = declared(here, "model", model_settings={**settings, "dimensions": 3})
    assert status == 400
    assert "[dimensions] is not allowed for task_type [SPARSE_EMBEDDING]" in reason(document)


def test_index_options(here, elasticsearch):
    assert declared(here, "options", index_options={"sparse_vector": UNPRUNED})[0] == 200
    assert mapping(here, "options")["index_options"] == {"sparse_vector": UNPRUNED}
    assert declared(here, "options", index_options={"sparse_vector": PRUNED})[0] == 200
    stored = here.client("GET", f"/{here.name('options')}/_mapping").text
    assert '"tokens_freq_ratio_threshold":4' in stored
    put(here, f"/{here.name('options')}/_doc/1?refresh=true", {"body": TEXTS[0]})
    changed = sparse(here, index_options={"sparse_vector": UNPRUNED})
    target = f"/{here.name('options')}/_mapping"
    assert put(here, target, {"properties": {"body": changed}})[0] == 200
    assert mapping(here, "options")["index_options"] == {"sparse_vector": UNPRUNED}
    assert ids(here.search("options", semantic("pilot"))) == ["1"]


@pytest.mark.parametrize(
    ("endpoint", "options", "expected"),
    [
        (
            "e",
            {"dense_vector": {"type": "hnsw"}},
            "Invalid task type for index options, required [text_embedding] but was "
            "[sparse_embedding]",
        ),
        (
            "dense",
            {"sparse_vector": UNPRUNED},
            "Invalid task type for index options, required [sparse_embedding] but was "
            "[text_embedding]",
        ),
        (
            "nowhere",
            {"sparse_vector": UNPRUNED},
            "Model settings must be set to validate index options for inference ID",
        ),
        ("e", {"sparse_vector": {"colour": 1}}, "unknown field [colour]"),
        (
            "e",
            {"sparse_vector": {"pruning_config": {}}},
            "Failed to build [index_options] after last required field arrived",
        ),
    ],
)
def test_index_options_that_do_not_suit(here, endpoint, options, expected):
    status, document = declared(here, "unsuitable", endpoint=endpoint, index_options=options)
    assert status == 400
    assert expected in reason(document)


def test_an_endpoint_of_the_other_kind_cannot_take_over(here):
    declared(here, "switched")
    target = f"/{here.name('switched')}/_mapping"
    assert put(here, target, {"properties": {"body": sparse(here, "e2")}})[0] == 200
    put(here, f"/{here.name('switched')}/_doc/1?refresh=true", {"body": TEXTS[0]})
    status, document = put(here, target, {"properties": {"body": sparse(here, "dense")}})
    assert status == 400
    assert reason(document) == (
        "Cannot update [semantic_text] field [body] because inference endpoint "
        f"[{here.name('e2')}] with model settings [service=hugging_face, "
        "task_type=sparse_embedding] is not compatible "
        f"with new inference endpoint [{here.name('dense')}] with model settings "
        "[service=hugging_face, task_type=text_embedding, dimensions=16, similarity=cosine, "
        "element_type=float]."
    )


def test_an_endpoint_that_makes_vectors_now_fills_no_such_field(here):
    here.endpoint("turned", "/sparse")
    here.index("turned", {}, body=sparse(here, "turned"))
    here.client("DELETE", f"/_inference/{here.name('turned')}?force=true")
    here.endpoint("turned")
    status, document = put(here, f"/{here.name('turned')}/_doc/2", {"body": TEXTS[0]})
    assert (status, document["error"]["type"]) == (400, "document_parsing_exception")
    assert "Incompatible model settings for field [body]" in reason(document)


# --- documents


def test_chunks_have_the_weights_of_their_tokens(here):
    here.index("chunks", {"1": {"body": TEXTS}}, body=sparse(here))
    assert embeddings(here, "chunks") == [weights(text) for text in TEXTS]
    found = inference(here, "chunks")
    assert (found["inference_id"], found["model_settings"]) == (here.name("e"), MODEL)
    spans = [(chunk["start_offset"], chunk["end_offset"]) for chunk in found["chunks"]["body"]]
    assert spans == [(0, 19), (20, 32)]
    source = here.search("chunks", {"match_all": {}})["hits"]["hits"][0]["_source"]
    assert source == {"body": TEXTS}


def test_every_way_of_writing(here):
    here.index("ways", {"1": {"body": TEXTS}, "2": {"body": TEXTS[0]}}, body=sparse(here))
    base = f"/{here.name('ways')}"
    put(here, f"{base}/_create/3", {"body": TEXTS[0]})
    here.post(f"{base}/_update/2", {"doc": {"body": TEXTS[1]}})
    lines = [{"update": {"_id": "4"}}, {"doc": {"body": TEXTS[1]}, "doc_as_upsert": True}]
    body = "".join(json.dumps(line) + "\n" for line in lines).encode()
    assert not here.client("POST", f"{base}/_bulk", body).document["errors"]
    here.post(f"{base}/_refresh")
    assert embeddings(here, "ways", "2") == embeddings(here, "ways", "4") == [weights(TEXTS[1])]
    assert embeddings(here, "ways", "3") == [weights(TEXTS[0])]
    with here.embedding() as calls:
        here.post(f"{base}/_update/1?refresh=true", {"doc": {"title": "new"}})
    assert calls == []
    assert embeddings(here, "ways") == [weights(text) for text in TEXTS]


def test_an_update_of_one_source_keeps_the_tokens_of_the_others(here):
    copied = {"type": "text", "copy_to": "body"}
    here.index(
        "copied", {"1": {"title": TEXTS[1], "body": "gold"}}, body=sparse(here), title=copied
    )
    with here.embedding() as calls:
        here.post(f"/{here.name('copied')}/_update/1?refresh=true", {"doc": {"body": "lead"}})
    assert calls == [["lead"]]
    chunks = inference(here, "copied")["chunks"]
    assert [chunk["embeddings"] for chunk in chunks["title"]] == [weights(TEXTS[1])]
    assert [chunk["embeddings"] for chunk in chunks["body"]] == [weights("lead")]


def test_long_texts_and_more_chunks_than_are_kept(here):
    """Of more than 512 chunks, neighbours share one: each token keeps its largest weight."""
    chunking = {"strategy": "word", "max_chunk_size": 10, "overlap": 1}
    text = " ".join(f"w{number}" for number in range(6000))
    here.index("long", {"1": {"body": text}}, body=sparse(here, chunking_settings=chunking))
    found = embeddings(here, "long")
    assert 256 <= len(found) <= 512
    held = {token: weight for one in found for token, weight in one.items()}
    assert held == weights(text)
    assert max(map(len, found)) > 10
    assert ids(here.search("long", semantic("w5999"))) == ["1"]


def test_a_text_without_tokens(here):
    here.index("wordless", {"1": {"body": "🚢"}, "2": {"body": ""}}, body=sparse(here))
    assert embeddings(here, "wordless") == [{}]
    assert inference(here, "wordless", "2") is None


def test_weights_that_elasticsearch_does_not_take_are_the_documents_error(here):
    model = {"inference_id": here.name("e"), "model_settings": MODEL}
    for weight in (0, -1, 1e39):
        chunk = {"start_offset": 0, "end_offset": 1, "embeddings": {"sea": weight}}
        given = {"body": {"inference": {**model, "chunks": {"body": [chunk]}}}}
        here.index("brought", {}, body=sparse(here))
        target = f"/{here.name('brought')}/_doc/1"
        status, document = put(here, target, {"body": "a", "_inference_fields": given})
        assert (status, document["error"]["type"]) == (400, "document_parsing_exception")
        assert "for feature sea on field body.inference.chunks.embeddings" in str(document)


def test_tokens_that_a_document_brings_along(here):
    chunk = {"start_offset": 0, "end_offset": 3, "embeddings": {"sea": 0.5, "a.b": 2.0}}
    given = {
        "inference_id": here.name("gone"),
        "model_settings": {"task_type": "sparse_embedding"},
        "chunks": {"body": [chunk]},
    }
    here.index("given", {}, body=sparse(here, "gone"))
    target = f"/{here.name('given')}/_doc/1?refresh=true"
    document = {"body": "sea", "_inference_fields": {"body": {"inference": given}}}
    with here.embedding() as calls:
        assert put(here, target, document)[0] == 201
    assert calls == []
    assert embeddings(here, "given") == [{"sea": 0.5, "a.b": 2.0}]
    query = {"sparse_vector": {"field": "body", "query_vector": {"a.b": 2.0}}}
    assert here.search("given", query)["hits"]["max_score"] == 4.0


def test_vectors_are_no_tokens(here):
    dense = {**MODEL, "task_type": "text_embedding", "dimensions": 2, "similarity": "cosine"}
    chunk = {"start_offset": 0, "end_offset": 3, "embeddings": [0.5, 0.5]}
    given = {
        "inference_id": here.name("e"),
        "model_settings": {**dense, "element_type": "float"},
        "chunks": {"body": [chunk]},
    }
    here.index("mixed", {"1": {"body": "sea"}}, body=sparse(here))
    document = {"body": "sea", "_inference_fields": {"body": {"inference": given}}}
    status, answer = put(here, f"/{here.name('mixed')}/_doc/2", document)
    assert (status, "Incompatible model settings for field [body]" in reason(answer)) == (400, True)
    given["model_settings"] = MODEL
    status, answer = put(here, f"/{here.name('mixed')}/_doc/2", document)
    assert (status, answer["error"]["type"]) == (400, "document_parsing_exception")


def test_reindexing(here):
    here.index("from", {"1": {"body": TEXTS}}, body=sparse(here))
    here.index("to", {}, body=sparse(here))
    source = {"index": here.name("from")}
    target = {"index": here.name("to")}
    with here.embedding() as calls:
        here.post("/_reindex?refresh=true", {"source": source, "dest": target})
    assert calls == [sorted(TEXTS)]
    assert embeddings(here, "to") == [weights(text) for text in TEXTS]
    carried = {**source, "_source": {"exclude_vectors": False}}
    with here.embedding() as calls:
        here.post("/_reindex?refresh=true", {"source": carried, "dest": target})
    assert calls == []
    assert embeddings(here, "to") == [weights(text) for text in TEXTS]
    with here.embedding() as calls:
        here.post(f"/{here.name('to')}/_update_by_query?refresh=true")
    assert embeddings(here, "to") == [weights(text) for text in TEXTS]
