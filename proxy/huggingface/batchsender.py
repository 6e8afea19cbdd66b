"""The texts of a request, sent in batches, a few of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from proxy.config import ProviderConfig
from proxy.ground.errors import ProxyError
from proxy.ground.frames import forget_frames
from proxy.huggingface.batching import Batch, Text, batches
from proxy.huggingface.calls import Call, Refusal
from proxy.huggingface.failures import fitting_share, is_batch_too_large
from proxy.huggingface.reading import Reader
from proxy.huggingface.retry import Failure
from proxy.huggingface.sender import Sender
from proxy.inference.endpoints import InferenceEndpoint
from proxy.limits.deadline import Deadline
from proxy.xcontent.values import Json

T = TypeVar("T")
_MOST_CUTS: Final = 6  # of a text that a provider finds too long


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchTask(Generic[T]):
    """What is asked of a provider about a batch, and how its reply is read."""

    body: Callable[[Batch], Json]
    reader: Callable[[Batch], Reader[list[T]]]
    cuts_texts: bool  # whether texts that the provider finds too long may be cut
    # Told what a provider has answered about the texts that were really sent.
    keep: Callable[[InferenceEndpoint, Batch, list[T]], None] | None = None


class BatchSender:
    """Sends texts in batches that providers take."""

    def __init__(self, sender: Sender, config: ProviderConfig) -> None:
        self._sender = sender
        self._config = config

    async def results(
        self,
        endpoint: InferenceEndpoint,
        task: BatchTask[T],
        texts: list[Text],
        deadline: Deadline,
    ) -> list[T]:
        """The results of all batches, in order.

        Raises: the first failure, after the other batches are cancelled.
        """
        config = self._config
        groups = list(batches(texts, config.max_batch_inputs))
        if len(groups) == 1:
            return await self._send(endpoint, task, groups[0], deadline)
        places = asyncio.Semaphore(config.concurrency)

        async def send(batch: Batch) -> list[T]:
            async with places:
                return await self._send(endpoint, task, batch, deadline)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(send(batch)) for batch in groups]
        except ExceptionGroup as failures:
            tasks.clear()  # its tasks know the failure, the failure this frame and all results
            raise _first(failures) from None
        return [result for task in tasks for result in task.result()]

    def leaves_at_once(self, endpoint: InferenceEndpoint) -> bool:
        """Whether the endpoint's rate limit lets a call leave now, which then is to be made."""
        return self._sender.leaves_at_once(endpoint)

    async def turn(self, endpoint: InferenceEndpoint) -> None:
        """Wait until it does, however many wait already."""
        await self._sender.turn(endpoint, bounded=False)

    def check_room(self, endpoint: InferenceEndpoint, waiting: int) -> None:
        """Raises: Rejected if no more than these may wait."""
        self._sender.check_room(endpoint, waiting)

    async def _send(
        self, endpoint: InferenceEndpoint, task: BatchTask[T], batch: Batch, deadline: Deadline
    ) -> list[T]:
        await self._sender.turn(endpoint)
        return await self.send(endpoint, task, batch, deadline)

    async def send(
        self, endpoint: InferenceEndpoint, task: BatchTask[T], batch: Batch, deadline: Deadline
    ) -> list[T]:
        """The results of one batch, whose turn it is. Every batch of every task goes through here.

        One that the provider refuses for its size is sent in two. If the task allows it, texts that
        are too long are cut: all of a batch by half after a 413, as Elasticsearch does; else only
        those, and at once, if the provider says that this is the reason.
        """
        sender, sent, cuts = self._sender, batch, 0
        retries = sender.retries(deadline)
        while True:
            call = Call(endpoint, task.body(sent), retries.failed > 0)
            outcome = await sender.attempt(call, task.reader(sent))
            if isinstance(outcome, Refusal):
                if len(batch) > 1 and is_batch_too_large(outcome):
                    return await self._send_in_two(endpoint, task, batch, deadline)
                halves = task.cuts_texts and outcome.status == 413
                share = fitting_share(outcome) if task.cuts_texts and not halves else None
                if share is not None and len(batch) > 1:  # one of them is too long
                    return await self._send_in_two(endpoint, task, batch, deadline)
                if share is not None and cuts < _MOST_CUTS:
                    sent, cuts = sent.shortened(share), cuts + 1
                    await sender.turn(endpoint)
                    retries = sender.retries(deadline)
                    continue
                if halves:
                    sent = sent.shortened()
                outcome = sender.failure(endpoint, outcome)
            if not isinstance(outcome, Failure):
                if task.keep is not None:
                    task.keep(endpoint, sent, outcome)
                return outcome
            await retries.wait(outcome)

    async def _send_in_two(
        self, endpoint: InferenceEndpoint, task: BatchTask[T], batch: Batch, deadline: Deadline
    ) -> list[T]:
        first, second = batch.split()
        results = await self._send(endpoint, task, first, deadline)
        return results + await self._send(endpoint, task, second, deadline)


def _first(failures: ExceptionGroup[Exception]) -> Exception:
    first, *others = failures.exceptions
    for other in others:
        forget_frames(other)  # nobody will see it, and its frames hold texts and results
    return first if isinstance(first, ProxyError) else failures
