"""Embedding what documents need: together, and what fails is the error of its document only.

Source: ShardBulkInferenceActionFilter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final

from proxy.ground.errors import EndpointNotFound, IllegalArgument, ProxyError
from proxy.ground.frames import forget_frames
from proxy.inference.embedding import is_about_a_text, is_of_some_texts
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
_NUMBERS_AT_ONCE: Final = 50_000  # in vectors that are merged while others wait
_REFUSALS: Final = 100  # calls about too many bad texts to look for each of them
# An endpoint that has failed so often in a row is not called again for the same request. One whose
# answer may be about a text has a few more calls, as many as it takes to find a single one.
_FAILURES: Final = 2
FAILURES_ON_TEXTS: Final = 12

_Wanted = tuple[Filling, list[Chunk]]  # a document, and those of its chunks that are embedded

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
        offered = model_settings_of(endpoint)
        fitting = [filling for filling in fillings if _fits(filling, endpoint, offered)]
        if offered is None:
            return  # and none fits
        for group in _groups(fitting, inference_id):
            await self._embed(endpoint, offered, group, deadline)

    async def _embed(
        self,
        endpoint: InferenceEndpoint,
        model: ModelSettings,
        group: Sequence[_Wanted],
        deadline: Deadline,
    ) -> None:
        """Embed the texts of some documents; if the provider refuses, those of each half alone."""
        inference_id = endpoint.inference_id
        chunks = [chunk for filling, own in group if filling.error is None for chunk in own]
        if not chunks:
            return
        if (failure := self._given_up.get(inference_id)) is not None:
            _fail_all(group, inference_id, failure)
            return
        texts = [text for chunk in chunks for text in chunk.texts]
        try:
            vectors = await self._endpoints.embed(endpoint, texts, deadline, INGEST)
        except ProxyError as error:
            forget_frames(error)
            if self._may_be_parted(inference_id, error) and len(group) > 1:
                middle = len(group) // 2
                await self._embed(endpoint, model, group[:middle], deadline)
                await self._embed(endpoint, model, group[middle:], deadline)
            else:
                _fail_all(group, inference_id, error)
            return
        self._failures.pop(inference_id, None)
        size = sum(len(chunk.texts) for chunk in chunks if len(chunk.texts) > 1) * model.size
        await offload(size, _NUMBERS_AT_ONCE, lambda: _set_vectors(chunks, vectors, model))

    def _may_be_parted(self, inference_id: str, error: ProxyError) -> bool:
        """Count a failure; whether it may be due to one of several texts, which are sent in two."""
        if is_about_a_text(error):
            self._refusals += 1
            return self._refusals <= _REFUSALS
        failures = self._failures[inference_id] = self._failures.get(inference_id, 0) + 1
        may_be_a_text = error.provider_status == 500 and is_of_some_texts(error)
        if failures >= (FAILURES_ON_TEXTS if may_be_a_text else _FAILURES):
            self._given_up[inference_id] = error
            return False
        return may_be_a_text


def _set_vectors(
    chunks: Iterable[Chunk], vectors: Iterable[WrittenEmbedding], model: ModelSettings
) -> None:
    """Write the vectors of all texts into their chunks."""
    left = iter(vectors)
    for chunk in chunks:
        if len(chunk.texts) == 1:
            chunk.vector = next(left).json
        else:
            chunk.vector = model.merged([next(left) for _ in chunk.texts]).json
        chunk.texts = ()  # nobody needs them any more


def _groups(fillings: Iterable[Filling], inference_id: str) -> Iterator[list[_Wanted]]:
    """Documents together, as long as their texts are few and short enough."""
    group: list[_Wanted] = []
    texts = characters = 0
    for filling in fillings:
        own = filling.chunks_of(inference_id)
        count = size = 0
        for chunk in own:
            count += len(chunk.texts)
            size += sum(map(len, chunk.texts))
        if group and (texts + count > _TEXTS_AT_ONCE or characters + size > _CHARACTERS_AT_ONCE):
            yield group
            group, texts, characters = [], 0, 0
        group.append((filling, own))
        texts += count
        characters += size
    if group:
        yield group


def _fail_all(group: Iterable[_Wanted], inference_id: str, cause: ProxyError) -> None:
    fillings = [filling for filling, _ in group]
    _fail(fillings, inference_id, lambda path: InferenceFailed(inference_id, path, cause))


def _fail(
    fillings: Iterable[Filling], inference_id: str, error_for: Callable[[str], ProxyError]
) -> None:
    for filling in fillings:
        for path, one in filling.fields.items():
            if filling.error is None and one.chunks and one.semantic.inference_id == inference_id:
                filling.error = error_for(path)


def _fits(filling: Filling, endpoint: InferenceEndpoint, offered: ModelSettings | None) -> bool:
    """Whether the endpoint's vectors go with those of the fields; if not, that is the error."""
    for one in filling.fields.values():
        if one.chunks and one.semantic.inference_id == endpoint.inference_id:
            problem = _misfit(one.semantic, endpoint, offered)
            if problem is not None:
                filling.error = filling.error or problem
                return False
    return True


def _misfit(
    field: SemanticField, endpoint: InferenceEndpoint, offered: ModelSettings | None
) -> ProxyError | None:
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


def _not_found(inference_id: str, path: str) -> ProxyError:
    error = EndpointNotFound(inference_id)
    error.reason = f"Inference id [{inference_id}] not found for field [{path}]"
    return error
