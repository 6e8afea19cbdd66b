"""What inference processors do with documents: texts are read, sent together, results put in.

Source: InferenceProcessor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.ground.errors import IllegalArgument, ProxyError, StatusError
from proxy.ground.frames import forget_frames
from proxy.inference.embedding import is_about_a_text, is_of_some_texts
from proxy.inference.endpoints import InferenceEndpoint, TaskType
from proxy.inference.inputtypes import INGEST
from proxy.limits.deadline import Deadline
from proxy.limits.memory import passing
from proxy.limits.threads import offload
from proxy.semantic.answerjson import AT_ONCE
from proxy.semantic.documents import read_document
from proxy.semantic.embedding import FAILURES_ON_TEXTS
from proxy.semantic.ingest.paths import has_value, value_at, with_value
from proxy.semantic.ingest.simulating import Draft
from proxy.semantic.pipelines import Processor
from proxy.semantic.ports import Endpoints

_DOCUMENTS_AT_ONCE: Final = 128  # in one call; the client makes batches of their texts
_CALLS_AT_ONCE: Final = 8


@dataclass(slots=True)
class Turn:
    """One processor's work on one document."""

    draft: Draft
    processor: Processor
    texts: list[str] = field(default_factory=list)


def texts_for(document: Any, processor: Processor) -> list[str]:
    """The texts that a processor sends for a document; none where it has nothing to do.

    A text that is missing is sent as an empty one, unless no other has come before: then the
    document is left as it is. Raises: IllegalArgument.
    """
    texts: list[str] = []
    is_any = False
    for one in processor.inputs or ():
        value = None
        if not processor.ignore_missing or has_value(document, one.field):
            value = value_at(document, one.field)
        if not isinstance(value, str | None):
            raise IllegalArgument(
                f"input field [{one.field}] cannot be processed because it is not a text field"
            )
        is_any = is_any or value is not None
        if not is_any:
            return []
        texts.append(value or "")
    return texts


def with_results(data: bytes, processor: Processor, results: Sequence[Any]) -> bytes:
    """A document with what came of its texts. Raises: IllegalArgument, StatusError."""
    inputs = processor.inputs or ()
    if len(results) != len(inputs):
        raise StatusError(
            500,
            f"number of results [{len(results)}] does not match the number of inputs "
            f"[{len(inputs)}]",
        )
    for number, (one, result) in enumerate(zip(inputs, results, strict=True)):
        if number == 0:
            data = with_value(data, one.model_field, processor.model_id)
        data = with_value(data, one.output, result)
    return data


class Inferring:
    """Runs processors on the documents of one caller's request."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._failures = 0  # of servers, in a row

    async def run(self, work: Iterable[tuple[Draft, Processor]], deadline: Deadline) -> None:
        """Run a processor on each document; what fails is the error of its document only."""
        turns: list[Turn] = []
        for draft, processor in work:
            if processor.inputs is None:
                draft.error = await self._no_inputs(processor.model_id)
            else:
                turns.append(Turn(draft, processor))
        size = sum(len(turn.draft.data) for turn in turns)
        await offload(size, AT_ONCE, lambda: _read(turns))
        by_endpoint: dict[str, list[Turn]] = {}
        for turn in turns:
            if turn.texts:
                by_endpoint.setdefault(turn.processor.model_id, []).append(turn)
        async with asyncio.TaskGroup() as tasks:
            for model_id, turns in by_endpoint.items():
                tasks.create_task(self._run(model_id, turns, deadline))

    async def _no_inputs(self, model_id: str) -> ProxyError:
        """Source: TransportCoordinatedInferenceAction, for objects instead of texts."""
        if await self._endpoints.find(model_id) is None:
            error = StatusError(404, f"Could not find trained model [{model_id}]")
            error.type = "resource_not_found_exception"
            return error
        return StatusError(
            400,
            f"[{model_id}] is configured for the _inference API and does not accept documents as "
            "input. If using an inference ingest processor configure it with the [input_output] "
            "option instead of [field_map].",
        )

    async def _run(self, model_id: str, turns: list[Turn], deadline: Deadline) -> None:
        try:
            endpoint = await self._endpoints.find(model_id)
            if endpoint is None:
                raise StatusError(
                    404, f"[{model_id}] is not an inference service model or a deployed ml model"
                )
        except ProxyError as error:
            _fail(turns, error)
            return
        size = 1 if endpoint.task_type is TaskType.COMPLETION else _DOCUMENTS_AT_ONCE
        free = asyncio.Semaphore(_CALLS_AT_ONCE)

        async def call(group: Sequence[Turn]) -> None:
            async with free:
                await self._call(endpoint, group, deadline)

        async with asyncio.TaskGroup() as tasks:
            for start in range(0, len(turns), size):
                tasks.create_task(call(turns[start : start + size]))

    async def _call(
        self, endpoint: InferenceEndpoint, turns: Sequence[Turn], deadline: Deadline
    ) -> None:
        """Send the texts of some documents; if the provider refuses, those of each half alone."""
        texts = [text for turn in turns for text in turn.texts]
        try:
            with passing():  # of the provider's answers nothing but the results is kept
                results = await self._endpoints.infer(endpoint, texts, deadline, INGEST)
        except ProxyError as error:
            if len(turns) > 1 and self._may_be_about_a_text(error):
                middle = len(turns) // 2
                await self._call(endpoint, turns[:middle], deadline)
                await self._call(endpoint, turns[middle:], deadline)
            else:
                _fail(turns, error)
            return
        self._failures = 0
        size = sum(len(turn.draft.data) for turn in turns)
        await offload(size, AT_ONCE, lambda: _write(turns, results))

    def _may_be_about_a_text(self, error: ProxyError) -> bool:
        """Whether it is, or is a server's failure of which not too many have come in a row."""
        if error.provider_status == 500 and is_of_some_texts(error):
            self._failures += 1
            return self._failures < FAILURES_ON_TEXTS
        return is_about_a_text(error)


def _read(turns: Iterable[Turn]) -> None:
    for turn in turns:
        try:
            document = read_document(turn.draft.data)
            assert document is not None, "only what can be read goes through pipelines"
            turn.texts = texts_for(document.content, turn.processor)
        except ProxyError as error:
            turn.draft.error = error


def _write(turns: Sequence[Turn], results: Sequence[Any]) -> None:
    place = 0
    for turn in turns:
        # One document alone is told of a wrong number; many cannot tell whose it is.
        end = len(results) if len(turns) == 1 else place + len(turn.texts)
        try:
            turn.draft.data = with_results(turn.draft.data, turn.processor, results[place:end])
        except ProxyError as error:
            turn.draft.error = error
        place = end


def _fail(turns: Iterable[Turn], error: ProxyError) -> None:
    forget_frames(error)
    if error.status == 409:  # by which clients know a document that is there already
        error = StatusError(503, error.reason, cause=error.cause).advised(error.advice)
    for turn in turns:
        turn.draft.error = error
