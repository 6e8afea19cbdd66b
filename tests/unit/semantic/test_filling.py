"""What a document needs for its fields, and how its vectors are put into it."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest

from proxy.inference.chunking import ChunkingSettings
from proxy.semantic.chunking.chunker import chunker_for
from proxy.semantic.chunking.values import MOST_CHUNKS
from proxy.semantic.fields import SemanticField
from proxy.semantic.filling import Filling, all_sources, chunks_of, prepare
from proxy.semantic.modelsettings import SparseModel
from tests.unit.semantic.targets import semantic_field

WORDS: Final = chunker_for(
    ChunkingSettings(strategy="word", max_chunk_size=2, sentence_overlap=None, overlap=0)
)


def prepared(document: Any, *fields: SemanticField, **more: Any) -> Filling:
    by_path = {one.path: one for one in fields or (semantic_field(),)}
    return prepare(document, by_path, dict.fromkeys(by_path, WORDS), **more)


def test_texts_are_cut_with_offsets_as_if_a_character_stood_between_values():
    filling = prepared({"body": ["a b c", "d"]})
    chunks = filling.fields["body"].chunks
    assert [(one.start, one.end, one.texts) for one in chunks] == [
        (0, 3, ("a b",)),
        (3, 5, (" c",)),
        (6, 7, ("d",)),
    ]
    assert filling.chunk_count() == 3


@pytest.mark.parametrize(
    ("document", "sources"),
    [({"other": "x"}, None), ({"body": None}, ["body"]), ({"body": ""}, ["body"])],
)
def test_a_null_clears_a_field_and_what_is_absent_does_not_touch_it(document, sources):
    filling = prepared(document)
    found = filling.fields.get("body")
    assert (found and found.sources) == sources
    assert filling.inference_ids() == set()


def test_the_sources_of_a_field_are_kept_apart():
    filling = prepared({"body": "a", "title": "b"}, semantic_field(sources=("body", "title")))
    assert [one.source for one in filling.fields["body"].chunks] == ["body", "title"]
    assert filling.fields["body"].texts == {"body": ("a",), "title": ("b",)}


def test_a_value_that_is_no_text_is_the_documents_error():
    filling = prepared({"body": {"a": 1}})
    assert filling.error is not None
    assert filling.error.status == 400


def test_each_endpoint_gets_its_own_texts():
    other = semantic_field("title", "other")
    filling = prepared({"body": "a", "title": "b"}, semantic_field(), other)
    assert filling.inference_ids() == {"e", "other"}
    assert [chunk.texts for chunk in filling.chunks_of("other")] == [("b",)]


def test_what_is_given_is_not_cut_again():
    given = prepared({"body": "a b c"}).fields
    filling = prepared({"body": "other"}, given=given)
    assert filling.fields["body"] is given["body"]


def test_a_document_without_fields_of_ours_gets_nothing():
    assert prepared({"other": "x"}).pieces() == []


@pytest.mark.parametrize("seen", [False, True])
def test_vectors_are_put_below_the_key_of_the_field(seen: bool):
    filling = prepared({"o": {"a": "x"}}, semantic_field("o.a", seen=seen))
    (chunk,) = filling.fields["o.a"].chunks
    chunk.vector = b"[1.0]"
    made = orjson.loads(b"".join(filling.pieces()))["o:a"]
    assert made["chunks"] == [{"field": "o.a", "start": 0, "end": 1, "embeddings": [1.0]}]
    assert ("seen" in made) is not seen
    assert filling.markers() == {"xinf.o:a.chunks": "semantic-field-missing"}


def test_chunks_that_are_kept_come_first():
    filling = prepared({"body": "x"})
    one = filling.fields["body"]
    one.kept = [b'{"kept":1}']
    one.chunks[0].vector = b"[1.0]"
    assert orjson.loads(b"".join(one.pieces()))["chunks"][0] == {"kept": 1}
    assert filling.weight() == 2 * 3
    filling.fields["body"].semantic = semantic_field(model=SparseModel())
    assert filling.weight() == 2 * SparseModel().size


def test_of_too_many_chunks_neighbours_share_a_slot():
    texts = ["w " * 2 * (MOST_CHUNKS + 1)]
    found = list(chunks_of("body", texts, WORDS))
    assert len(found) == MOST_CHUNKS
    assert max(len(one.texts) for one in found) == 2
    assert sum(len(one.texts) for one in found) == MOST_CHUNKS + 1


def test_the_sources_of_all_fields():
    fields = {"a": semantic_field("a", sources=("a", "b")), "c": semantic_field("c")}
    assert all_sources(fields) == {"a", "b", "c"}
