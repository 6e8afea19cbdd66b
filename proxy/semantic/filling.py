"""Filling documents: their texts are cut, embedded together, and the vectors put in.

Source: ShardBulkInferenceActionFilter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import orjson

from proxy.errors import EndpointNotFound, IllegalArgument, ProxyError, StatusError
from proxy.inference.endpoints import InferenceEndpoint
from proxy.limits.deadline import Deadline
from proxy.semantic import layout
from proxy.semantic.chunking.chunker import Chunker, chunker_for
from proxy.semantic.chunking.values import passages_of
from proxy.semantic.errors import InferenceFailed
from proxy.semantic.fields import SemanticField, model_settings_of
from proxy.semantic.ports import Endpoints
from proxy.semantic.registry import Fields
from proxy.semantic.values import texts_of

_TEXTS_AT_ONCE: Final = 512  # of one endpoint, in one call of the client, which makes batches
_CHARACTERS_AT_ONCE: Final = 1024 * 1024

Chunkers = Mapping[str, Chunker]  # by the path of the field
_chunker: Final = lru_cache(maxsize=64)(chunker_for)


@dataclass(slots=True, kw_only=True)
class Chunk:
    """A piece of a document's text; offsets in UTF-16 units of its source's joined texts."""

    field: SemanticField
    source: str
    start: int
    end: int
    text: str
    vector: list[float] | None = None


@dataclass(slots=True, kw_only=True)
class Filling:
    """A document on its way: what has to be embedded for it, or what is wrong with it."""

    touched: dict[str, SemanticField] = field(default_factory=dict)  # fields with sources in it
    chunks: list[Chunk] = field(default_factory=list)
    error: ProxyError | None = None

    def rendered(self) -> bytes:
        """The object to put in as `xinf`; empty where no semantic field is touched."""
        if not self.touched:
            return b""
        below: dict[str, dict[str, Any]] = {}
        for path, one in self.touched.items():
            content: dict[str, Any] = {layout.CHUNKS: []}
            if not one.seen:
                content[layout.SEEN] = layout.MARKED
            below[path] = content
        for chunk in self.chunks:
            below[chunk.field.path][layout.CHUNKS].append(
                {
                    "field": chunk.source,
                    "start": chunk.start,
                    "end": chunk.end,
                    layout.VECTOR: chunk.vector,
                }
            )
        for content in below.values():
            if not content[layout.CHUNKS]:
                content.pop(layout.SEEN, None)
        return orjson.dumps({layout.key_of(path): content for path, content in below.items()})

    def markers(self) -> dict[str, str]:
        """What keeps an index that is not ready from mapping the vectors as it likes."""
        return {layout.chunks_path(path): layout.MISSING for path in self.touched}


def prepare(document: Mapping[str, Any], fields: Fields, chunkers: Chunkers) -> Filling:
    """What a document needs, its texts cut. What is wrong with it is kept as its error."""
    filling = Filling()
    try:
        for one in fields.values():
            _prepare_field(filling, document, one, chunkers[one.path])
    except ProxyError as error:
        filling.error = error
    return filling


def _prepare_field(
    filling: Filling, document: Mapping[str, Any], semantic: SemanticField, chunker: Chunker
) -> None:
    for source in semantic.sources:
        found = texts_of(document, source, semantic.path)
        if not found.is_present:
            continue
        filling.touched[semantic.path] = semantic
        filling.chunks.extend(
            Chunk(
                field=semantic,
                source=source,
                start=passage.chunk.start,
                end=passage.chunk.end,
                text=passage.text,
            )
            for passages in passages_of(found.texts, chunker)
            for passage in passages
        )


class Filler:
    """Embeds what documents need, for one caller's request."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints

    async def chunkers(self, fields: Fields) -> Chunkers:
        """How the texts of each field are cut: as it says itself, or else as its endpoint does.

        Raises: StoreError; PatternSyntax for separators that are no patterns.
        """
        found = {}
        for one in fields.values():
            settings = one.chunking
            if settings is None and (endpoint := await self._endpoints.find(one.inference_id)):
                settings = endpoint.chunking_settings
            found[one.path] = _chunker(settings)
        return found

    async def fill(self, fillings: Sequence[Filling], deadline: Deadline) -> None:
        """Embed all that these documents need; what fails is the error of its document only."""
        by_endpoint: dict[str, list[Filling]] = {}
        for filling in fillings:
            if filling.error is None:
                for inference_id in {chunk.field.inference_id for chunk in filling.chunks}:
                    by_endpoint.setdefault(inference_id, []).append(filling)
        async with asyncio.TaskGroup() as tasks:
            for inference_id, group in by_endpoint.items():
                tasks.create_task(self._fill_from(inference_id, group, deadline))

    async def _fill_from(
        self, inference_id: str, fillings: list[Filling], deadline: Deadline
    ) -> None:
        try:
            endpoint = await self._endpoints.find(inference_id)
        except ProxyError as error:
            cause = error
            _fail(fillings, inference_id, lambda path: _loading(inference_id, path, cause))
            return
        if endpoint is None:
            _fail(fillings, inference_id, lambda path: _not_found(inference_id, path))
            return
        fitting = [filling for filling in fillings if _fits(filling, endpoint)]
        for group in _groups(fitting, inference_id):
            await self._embed(endpoint, group, deadline)

    async def _embed(
        self, endpoint: InferenceEndpoint, fillings: list[Filling], deadline: Deadline
    ) -> None:
        """Embed the texts of some documents; if the provider refuses, those of each half alone."""
        chunks = [chunk for filling in fillings for chunk in _of(filling, endpoint.inference_id)]
        if not chunks:
            return
        try:
            vectors = await self._endpoints.embed(
                endpoint, [chunk.text for chunk in chunks], deadline
            )
        except ProxyError as error:
            if len(fillings) > 1 and _is_about_a_text(error):
                middle = len(fillings) // 2
                await self._embed(endpoint, fillings[:middle], deadline)
                await self._embed(endpoint, fillings[middle:], deadline)
                return
            failure = error
            _fail(
                fillings,
                endpoint.inference_id,
                lambda path: InferenceFailed(endpoint.inference_id, path, failure),
            )
            return
        for chunk, vector in zip(chunks, vectors, strict=True):
            chunk.vector = vector


def _of(filling: Filling, inference_id: str) -> list[Chunk]:
    return [chunk for chunk in filling.chunks if chunk.field.inference_id == inference_id]


def _groups(fillings: Iterable[Filling], inference_id: str) -> Iterable[list[Filling]]:
    """Documents together, as long as their texts are few and short enough."""
    group: list[Filling] = []
    texts = characters = 0
    for filling in fillings:
        chunks = _of(filling, inference_id)
        texts += len(chunks)
        characters += sum(len(chunk.text) for chunk in chunks)
        if group and (texts > _TEXTS_AT_ONCE or characters > _CHARACTERS_AT_ONCE):
            yield group
            group, texts = [], len(chunks)
            characters = sum(len(chunk.text) for chunk in chunks)
        group.append(filling)
    if group:
        yield group


def _fail(fillings: Iterable[Filling], inference_id: str, error_for: Any) -> None:
    for filling in fillings:
        for chunk in _of(filling, inference_id):
            filling.error = filling.error or error_for(chunk.field.path)


def _fits(filling: Filling, endpoint: InferenceEndpoint) -> bool:
    """Whether the endpoint's vectors go with those of the fields; if not, that is the error."""
    offered = model_settings_of(endpoint)
    for chunk in _of(filling, endpoint.inference_id):
        model = chunk.field.model
        if offered is None or (model is not None and not offered.fits(model)):
            filling.error = IllegalArgument(
                f"Incompatible model settings for field [{chunk.field.path}]. Check that the "
                "inference_id is not using different model settings"
            )
            return False
    return True


def _is_about_a_text(error: ProxyError) -> bool:
    """Whether the provider refused what it was sent, and not everything."""
    return error.provider_status in (400, 413, 422)


def _not_found(inference_id: str, path: str) -> ProxyError:
    error = EndpointNotFound(inference_id)
    error.reason = f"Inference id [{inference_id}] not found for field [{path}]"
    return error


def _loading(inference_id: str, path: str, cause: ProxyError) -> ProxyError:
    return StatusError(
        cause.status,
        f"Error loading inference for inference id [{inference_id}] on field [{path}]",
        cause=cause,
    )
