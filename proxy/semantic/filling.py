"""What a document needs for its semantic fields: its texts cut, and room for their vectors.

Source: ShardBulkInferenceActionFilter, EmbeddingRequestChunker.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from proxy.ground.errors import ProxyError
from proxy.semantic import layout
from proxy.semantic.chunking.chunker import Chunker
from proxy.semantic.chunking.values import MOST_CHUNKS, covering, passages_of, slots
from proxy.semantic.fields import Fields, SemanticField
from proxy.semantic.modelsettings import ModelSettings
from proxy.semantic.values import texts_of

Chunkers = Mapping[str, Chunker]  # by the path of the field

_BEFORE_CHUNKS: Final = b'{"%b":[' % layout.CHUNKS.encode()
_SEEN: Final = b'],"%b":%b}' % (layout.SEEN.encode(), orjson.dumps(layout.MARKED))


@dataclass(slots=True, kw_only=True)
class Chunk:
    """A piece of a document's text; offsets in UTF-16 units of its source's joined texts.

    It has several texts where a value has more chunks than are kept: their vectors are merged.
    """

    source: str
    start: int
    end: int
    texts: tuple[str, ...] = ()
    vector: bytes = b""  # as JSON, once it is known

    def pieces(self) -> tuple[bytes, bytes, bytes]:
        """As it lies in the document: what comes before its vector, that, and what comes after."""
        head = (orjson.dumps(self.source), self.start, self.end)
        return b'{"field":%b,"start":%d,"end":%d,"embeddings":' % head, self.vector, b"}"


@dataclass(slots=True, kw_only=True)
class FieldFilling:
    """What a document brings for one of its fields."""

    semantic: SemanticField
    sources: list[str] = field(default_factory=list)  # those that it has a value for, or a null
    chunks: list[Chunk] = field(default_factory=list)
    texts: dict[str, tuple[str, ...]] = field(default_factory=dict)  # by source
    kept: Sequence[bytes] = ()  # chunks of other sources that are there already, rendered
    model: ModelSettings | None = None  # of vectors that it brings along

    def pieces(self) -> list[bytes]:
        """The object to put in for the field, in pieces: long vectors are copied but once."""
        pieces = [_BEFORE_CHUNKS]
        for kept in self.kept:
            pieces += (kept, b",")
        for chunk in self.chunks:
            pieces += chunk.pieces()
            pieces.append(b",")
        if len(pieces) == 1:
            pieces.append(b"]}")
        else:
            pieces[-1] = b"]}" if self.semantic.seen else _SEEN
        return pieces


@dataclass(slots=True, kw_only=True)
class Filling:
    """A document on its way: what has to be embedded for it, or what is wrong with it."""

    fields: dict[str, FieldFilling] = field(default_factory=dict)  # with sources in it, by path
    given: Sequence[str] = ()  # the names of what it brings vectors along in
    error: ProxyError | None = None

    def chunks_of(self, inference_id: str) -> list[Chunk]:
        """Those that an endpoint has to embed."""
        return [
            chunk
            for one in self.fields.values()
            if one.semantic.inference_id == inference_id
            for chunk in one.chunks
            if chunk.texts
        ]

    def inference_ids(self) -> set[str]:
        """The endpoints that have something to embed."""
        found = set()
        for one in self.fields.values():
            for chunk in one.chunks:
                if chunk.texts:
                    found.add(one.semantic.inference_id)
                    break
        return found

    def new_models(self) -> dict[str, ModelSettings]:
        """The models of vectors that it brings along for fields of which none is known."""
        return {
            path: one.model
            for path, one in self.fields.items()
            if one.model is not None and one.chunks and one.semantic.model is None
        }

    def weight(self) -> int:
        """How many numbers the vectors of all its chunks have, about."""
        found = 0
        for one in self.fields.values():
            size = one.semantic.model.size if one.semantic.model is not None else 0
            texts = len(one.kept)
            for chunk in one.chunks:
                texts += len(chunk.texts) or 1
            found += size * texts
        return found

    def chunk_count(self) -> int:
        return sum(len(one.chunks) for one in self.fields.values())

    def pieces(self) -> list[bytes]:
        """The object to put in as `xinf`, in pieces; none where no semantic field is touched."""
        pieces: list[bytes] = []
        before = b"{"
        for path, one in self.fields.items():
            pieces.append(b"%b%b:" % (before, orjson.dumps(layout.key_of(path))))
            pieces += one.pieces()
            before = b","
        if pieces:
            pieces.append(b"}")
        return pieces

    def let_go(self) -> None:
        """Forget the vectors, and those of other sources, once they have been rendered."""
        for one in self.fields.values():
            one.chunks, one.kept = [], ()

    def markers(self) -> dict[str, str]:
        """What keeps an index that is not ready from mapping the vectors as it likes."""
        return {layout.chunks_path(path): layout.MISSING for path in self.fields}


def prepare(
    document: Mapping[str, Any],
    fields: Fields,
    chunkers: Chunkers,
    *,
    given: Mapping[str, FieldFilling] | None = None,
) -> Filling:
    """What a document needs, its texts cut. What is wrong with it is kept as its error.

    `given` are fields whose vectors it brings along.
    """
    filling = Filling(fields=dict(given or {}))
    try:
        for path, one in fields.items():
            if path not in filling.fields:
                found = _prepared(document, one, chunkers[path])
                if found.sources:
                    filling.fields[path] = found
    except ProxyError as error:
        filling.error = error
    return filling


def _prepared(
    document: Mapping[str, Any], semantic: SemanticField, chunker: Chunker
) -> FieldFilling:
    filling = FieldFilling(semantic=semantic)
    for source in semantic.sources:
        found = texts_of(document, source, semantic.path)
        if found.is_present:
            filling.sources.append(source)
            filling.texts[source] = found.texts
            filling.chunks.extend(chunks_of(source, found.texts, chunker))
    return filling


def chunks_of(source: str, texts: Sequence[str], chunker: Chunker) -> Iterator[Chunk]:
    """The chunks of all texts of a source."""
    for passages in passages_of(texts, chunker):
        if len(passages) <= MOST_CHUNKS:
            for text, span in passages:
                yield Chunk(source=source, start=span.start, end=span.end, texts=(text,))
            continue
        for slot in slots(len(passages)):
            span = covering([passage.chunk for passage in passages], slot)
            pieces = tuple(passages[index].text for index in slot)
            yield Chunk(source=source, start=span.start, end=span.end, texts=pieces)


def all_sources(fields: Fields) -> Collection[str]:
    """Every field whose values are embedded."""
    return {source for one in fields.values() for source in one.sources}
