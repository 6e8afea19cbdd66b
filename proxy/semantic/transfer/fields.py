"""The semantic fields of a mapping as it is declared, and whether documents have all vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proxy.ground.errors import ProxyError
from proxy.inference.chunking import parse_chunking
from proxy.semantic.chunking.chunker import Chunker, chunker_for
from proxy.semantic.fields import TYPE
from proxy.semantic.filling import chunks_of
from proxy.semantic.mappings import Sources
from proxy.semantic.values import texts_of

Endpoints = Mapping[str, str]  # inference ids of the copy, by those of the original


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredField:
    """A field of type `semantic_text`."""

    path: str
    inference_id: str
    model: Mapping[str, Any] | None  # None while no document has brought vectors
    chunking: Mapping[str, Any] | None
    sources: tuple[str, ...]

    @property
    def shown(self) -> str:
        """In a word or two."""
        model = self.model
        if model is None:
            return f"endpoint [{self.inference_id}]"
        about = "sparse"
        if "dimensions" in model:
            about = f"{model['dimensions']} dimensions, {model.get('similarity')}"
        return f"endpoint [{self.inference_id}], {about}"


def declared_fields(mapping: Mapping[str, Any]) -> list[DeclaredField]:
    """The semantic fields of a mapping, by path."""
    sources = Sources(mapping)
    return [
        DeclaredField(
            path=path,
            inference_id=str(leaf.get("inference_id")),
            model=leaf.get("model_settings"),
            chunking=leaf.get("chunking_settings"),
            sources=sources.of(path),
        )
        for path, leaf in sources.leaves.items()
        if leaf.get("type") == TYPE
    ]


def with_endpoints(mapping: Any, endpoints: Endpoints) -> Any:
    """A mapping whose semantic fields name other endpoints."""
    if isinstance(mapping, list):
        return [with_endpoints(one, endpoints) for one in mapping]
    if not isinstance(mapping, Mapping):
        return mapping
    made = {key: with_endpoints(value, endpoints) for key, value in mapping.items()}
    if mapping.get("type") == TYPE:
        for name in ("inference_id", "search_inference_id"):
            if mapping.get(name) in endpoints:
                made[name] = endpoints[mapping[name]]
    return made


def complete(
    source: Mapping[str, Any],
    inference: Mapping[str, Any],
    fields: Sequence[DeclaredField],
    endpoints: Endpoints,
) -> dict[str, Any] | None:
    """`_inference_fields` with which nothing of a document is embedded; None if any are missing.

    They have to name every field that has a value, even one without text: for any that is not named
    Elasticsearch makes `_inference_fields` of its own, which the document then has twice.
    """
    made: dict[str, Any] = {}
    for field in fields:
        present = [one for one in field.sources if _is_present(source, one, field.path)]
        given = inference.get(field.path)
        chunks = _chunks(given)
        if any(not chunks.get(one) for one in present if _texts(source, one, field.path)):
            return None
        if not all("embeddings" in chunk for found in chunks.values() for chunk in found):
            return None
        if present or chunks:
            made[field.path] = {"inference": _inference(given, field, chunks, present, endpoints)}
    return made


def _inference(
    given: Any,
    field: DeclaredField,
    chunks: Mapping[str, Any],
    present: Sequence[str],
    endpoints: Endpoints,
) -> dict[str, Any]:
    inference = dict(given["inference"]) if chunks else {}
    inference["inference_id"] = endpoints.get(field.inference_id, field.inference_id)
    if "model_settings" not in inference and field.model is not None:
        inference["model_settings"] = field.model
    inference["chunks"] = {**{name: [] for name in present}, **chunks}
    return inference


def _chunks(given: Any) -> Mapping[str, Any]:
    match given:
        case {"inference": {"chunks": dict(chunks)}}:
            return chunks
    return {}


def _is_present(source: Mapping[str, Any], name: str, path: str) -> bool:
    try:
        return texts_of(source, name, path).is_present
    except ProxyError:  # it is no text, which whoever indexes it will say
        return True


def _texts(source: Mapping[str, Any], name: str, path: str) -> list[str]:
    """The texts of a source that are not blank."""
    try:
        return [text for text in texts_of(source, name, path).texts if text.strip()]
    except ProxyError:
        return []


@dataclass(slots=True)
class Amount:
    """How much text there is."""

    texts: int = 0
    characters: int = 0
    chunks: int = 0

    def add(self, other: Amount) -> None:
        """Add another one to it."""
        self.texts += other.texts
        self.characters += other.characters
        self.chunks += other.chunks


class Measure:
    """Counts texts as they would be cut; `defaults` are the chunking settings of endpoints."""

    def __init__(
        self, fields: Sequence[DeclaredField], defaults: Mapping[str, Mapping[str, Any] | None]
    ) -> None:
        self._fields = fields
        self._chunkers = {
            one.path: _chunker(one.chunking or defaults.get(one.inference_id)) for one in fields
        }

    def of(self, source: Mapping[str, Any]) -> Amount:
        """That of one document. Takes processor time: about 0.1 s for a million characters."""
        found = Amount()
        for field in self._fields:
            for name in field.sources:
                texts = _texts(source, name, field.path)
                found.texts += len(texts)
                found.characters += sum(map(len, texts))
                chunks = chunks_of(name, texts, self._chunkers[field.path])
                found.chunks += sum(len(one.texts) for one in chunks)
        return found


def _chunker(settings: Mapping[str, Any] | None) -> Chunker:
    """That of settings, or the usual one for those of another service or release."""
    try:
        return chunker_for(parse_chunking(settings) if settings else None)
    except ProxyError:
        return chunker_for(None)


def inference_ids(fields: Sequence[DeclaredField], mapping: Mapping[str, Any]) -> list[str]:
    """All endpoints that the fields name."""
    return sorted({one.inference_id for one in fields} | set(_search_ids(mapping)))


def _search_ids(mapping: Any) -> Iterator[str]:
    if isinstance(mapping, list):
        for one in mapping:
            yield from _search_ids(one)
    elif isinstance(mapping, Mapping):
        if mapping.get("type") == TYPE and isinstance(mapping.get("search_inference_id"), str):
            yield mapping["search_inference_id"]
        for value in mapping.values():
            yield from _search_ids(value)
