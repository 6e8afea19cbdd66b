"""Runs the inference processors of pipelines, and what is to happen where they fail.

Source: CompoundProcessor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from proxy.ground.errors import ProxyError
from proxy.limits.deadline import Deadline
from proxy.semantic.exchange import Exchange
from proxy.semantic.ingest.inferring import Inferring
from proxy.semantic.ingest.simulating import Draft, simulate
from proxy.semantic.pipelines import TYPE, Config, Pipeline, Processor

_INFERRING: Final = 60.0  # seconds that one processor may take for the documents of a window


@dataclass(slots=True)
class Passage:
    """A document in one pipeline."""

    draft: Draft
    pipeline: Pipeline
    has_ended: bool = False  # its `on_failure` took the place of the rest

    @property
    def is_open(self) -> bool:
        """Whether the next processor is to run."""
        return self.draft.is_open and not self.has_ended


class Runner:
    """Works for one caller's request."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._inferring = Inferring(exchange.parts.document_endpoints)

    async def before(self, passages: Sequence[Passage]) -> None:
        """Run the processors at the beginning."""
        await self._run([(passage, passage.pipeline.before) for passage in passages])

    async def after(self, passages: Sequence[Passage]) -> None:
        """Run the processors at the end."""
        await self._run([(passage, passage.pipeline.after) for passage in passages])

    async def _run(self, work: Sequence[tuple[Passage, Sequence[Processor]]]) -> None:
        for number in range(max((len(processors) for _, processors in work), default=0)):
            turn = [
                (passage, processors[number])
                for passage, processors in work
                if number < len(processors) and passage.is_open
            ]
            documents = [(passage.draft, processor) for passage, processor in turn]
            await self._inferring.run(documents, Deadline.after(_INFERRING))
            await self._recover(turn)

    async def _recover(self, turn: Sequence[tuple[Passage, Processor]]) -> None:
        """Ignore or handle failures, those of one kind together."""
        alike: dict[tuple[int, str, str], list[tuple[Passage, Processor]]] = {}
        for passage, processor in turn:
            error = passage.draft.error
            if error is None:
                continue
            if processor.ignore_failure:
                passage.draft.error = None
            elif processor.on_failure or passage.pipeline.on_failure:
                key = (id(processor), passage.pipeline.id, error.reason)
                alike.setdefault(key, []).append((passage, processor))
        for group in alike.values():
            await self._handle(*group[0], [passage for passage, _ in group])

    async def _handle(
        self, first: Passage, processor: Processor, passages: Sequence[Passage]
    ) -> None:
        """Have the upstream run what handles the failures of a processor."""
        error = first.draft.error
        assert error is not None
        handlers = processor.on_failure or first.pipeline.on_failure
        for passage in passages:
            passage.draft.error = None
        pipeline = recovery(error, processor.tag, first.pipeline.id, handlers)
        await simulate(self._exchange, pipeline, [passage.draft for passage in passages])
        for passage in passages:
            passage.has_ended = not processor.on_failure


def recovery(
    error: ProxyError, tag: str | None, pipeline_id: str, handlers: Sequence[Config]
) -> Config:
    """A pipeline that runs the handlers of an inference processor which has failed."""
    # What looks like a template in the text would be filled in.
    failing: Config = {"message": error.reason.replace("{{", "{ {")}
    if tag is not None:
        failing["tag"] = tag
    known = {"on_failure_processor_type": TYPE, "on_failure_pipeline": pipeline_id}
    told = [{"set": {"field": f"_ingest.{name}", "value": value}} for name, value in known.items()]
    return {"processors": [{"fail": {**failing, "on_failure": [*told, *handlers]}}]}
