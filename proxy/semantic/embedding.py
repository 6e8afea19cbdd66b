"""Embedding what documents need: together, and what fails is the error of its document only.

Source: ShardBulkInferenceActionFilter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final

from proxy.ground.errors import EndpointNotFound, IllegalArgument, ProxyError
from proxy.ground.frames import forget_frames
from proxy.inference.endpoints import InferenceEndpoint
from proxy.inference.inputtypes import INGEST
from proxy.inference.results import WrittenEmbedding
from proxy.limits.deadline import Deadline
from proxy.limits.threads import offload
from proxy.semantic.chunking.chunker import chunker_for
from proxy.semantic.errors import (
    DocumentParsingFailed,
    InferenceFailed,
    InferenceNotLoaded,
)
from proxy.semantic.fields import Fields, SemanticField
from proxy.semantic.filling import Chunk, Chunkers, Filling
from proxy.semantic.modelsettings import ModelSettings, model_settings_of
from proxy.semantic.ports import Endpoints

_TEXTS_AT_ONCE: Final = 512  # of one endpoint, in one call of the client, which makes batches
_CHARACTERS_AT_ONCE: Final = 1024 * 1024
_NUMBERS_AT_ONCE: Final = 50_000  # that are written while others wait
_REFUSALS: Final = 100  # calls about too many bad texts to look for each of them
# An endpoint that has failed so often in a row is not called again for the same request.
_FAILURES: Final = 2

_chunker: Final = lru_cache(maxsize=64)(chunker_for)


class Filler:
    """Embeds what documents need, for one caller's request."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._failures: dict[str, int] = {}  # in a row, by endpoint
        self._given_up: dict[str, ProxyError] = {}  # endpoints, with their last failure
        self._refusals = 0

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
                for inference_id in filling.inference_ids():
                    by_endpoint.setdefault(inference_id, []).append(filling)
        self._refusals = 0
        async with asyncio.TaskGroup() as tasks:
            for inference_id, group in by_endpoint.items():
                tasks.create_task(self._fill_from(inference_id, group, deadline))

    async def _fill_from(
        self, inference_id: str, fillings: list[Filling], deadline: Deadline
    ) -> None:
        try:
            endpoint = await self._endpoints.find(inference_id)
            if endpoint is not None:
                endpoint = await self._endpoints.completed(endpoint)
        except ProxyError as error:
            cause = error
            _fail(
                fillings, inference_id, lambda path: InferenceNotLoaded(inference_id, path, cause)
            )
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
        inference_id, model = endpoint.inference_id, model_settings_of(endpoint)
        assert model is not None, "only endpoints that fit a field embed"
        chunks = [
            chunk
            for filling in fillings
            if filling.error is None
            for chunk in filling.chunks_of(inference_id)
        ]
        if not chunks:
            return
        if (failure := self._given_up.get(inference_id)) is not None:
            _fail(fillings, inference_id, lambda path: InferenceFailed(inference_id, path, failure))
            return
        texts = [text for chunk in chunks for text in chunk.texts]
        try:
            vectors = await self._endpoints.embed(endpoint, texts, deadline, INGEST)
        except ProxyError as error:
            forget_frames(error)
            await self._embed_in_two(endpoint, fillings, deadline, error)
            return
        self._failures.pop(inference_id, None)
        size = sum(map(len, vectors))
        await offload(size, _NUMBERS_AT_ONCE, lambda: _set_vectors(chunks, vectors, model))

    async def _embed_in_two(
        self,
        endpoint: InferenceEndpoint,
        fillings: list[Filling],
        deadline: Deadline,
        error: ProxyError,
    ) -> None:
        """The provider failed to embed these together."""
        inference_id = endpoint.inference_id
        if _is_about_a_text(error):
            self._refusals += 1
            if len(fillings) > 1 and self._refusals <= _REFUSALS:
                middle = len(fillings) // 2
                await self._embed(endpoint, fillings[:middle], deadline)
                await self._embed(endpoint, fillings[middle:], deadline)
                return
        else:
            failures = self._failures[inference_id] = self._failures.get(inference_id, 0) + 1
            if failures >= _FAILURES:
                self._given_up[inference_id] = error
        _fail(fillings, inference_id, lambda path: InferenceFailed(inference_id, path, error))


def _set_vectors(
    chunks: Iterable[Chunk], vectors: Iterable[WrittenEmbedding], model: ModelSettings
) -> None:
    """Write the vectors of all texts into their chunks."""
    left = iter(vectors)
    for chunk in chunks:
        own = [next(left) for _ in chunk.texts]
        chunk.vector = own[0].json if len(own) == 1 else model.merged(own).json
        chunk.texts = ()  # nobody needs them any more


def _groups(fillings: Iterable[Filling], inference_id: str) -> Iterable[list[Filling]]:
    """Documents together, as long as their texts are few and short enough."""
    group: list[Filling] = []
    texts = characters = 0
    for filling in fillings:
        own = [text for chunk in filling.chunks_of(inference_id) for text in chunk.texts]
        size = sum(map(len, own))
        if group and (texts + len(own) > _TEXTS_AT_ONCE or characters + size > _CHARACTERS_AT_ONCE):
            yield group
            group, texts, characters = [], 0, 0
        group.append(filling)
        texts += len(own)
        characters += size
    if group:
        yield group


def _fail(
    fillings: Iterable[Filling], inference_id: str, error_for: Callable[[str], ProxyError]
) -> None:
    for filling in fillings:
        for path, one in filling.fields.items():
            if filling.error is None and one.chunks and one.semantic.inference_id == inference_id:
                filling.error = error_for(path)


def _fits(filling: Filling, endpoint: InferenceEndpoint) -> bool:
    """Whether the endpoint's vectors go with those of the fields; if not, that is the error."""
    for one in filling.fields.values():
        if one.chunks and one.semantic.inference_id == endpoint.inference_id:
            problem = _misfit(one.semantic, endpoint)
            if problem is not None:
                filling.error = filling.error or problem
                return False
    return True


def _misfit(field: SemanticField, endpoint: InferenceEndpoint) -> ProxyError | None:
    offered = model_settings_of(endpoint)
    if offered is None:
        return InferenceFailed(
            endpoint.inference_id,
            field.path,
            IllegalArgument(
                f"endpoint [{endpoint.inference_id}] of task [{endpoint.task_type.value}] makes no "
                "embeddings"
            ),
        )
    if field.model is None or offered.fits(field.model):
        return None
    return DocumentParsingFailed.of_models(field.path, field.model, offered)


def _is_about_a_text(error: ProxyError) -> bool:
    """Whether the provider refused what it was sent, and not everything."""
    return error.provider_status in (400, 413, 422)


def _not_found(inference_id: str, path: str) -> ProxyError:
    error = EndpointNotFound(inference_id)
    error.reason = f"Inference id [{inference_id}] not found for field [{path}]"
    return error
