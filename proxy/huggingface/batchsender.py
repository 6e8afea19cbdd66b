"""The texts of a request, sent in batches, a few of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, TypeVar

from proxy.config import ProviderConfig
from proxy.ground.errors import ProxyError
from proxy.ground.frames import forget_frames
from proxy.ground.lateness import HeldUp
from proxy.huggingface.batching import Batch, Text, batches, fit
from proxy.huggingface.calls import Call, FailedCall, Refusal
from proxy.huggingface.failures import fitting_share, is_batch_too_large
from proxy.huggingface.hints import advice_on_state
from proxy.huggingface.places import Place
from proxy.huggingface.reading import Reader
from proxy.huggingface.retry import Failure
from proxy.huggingface.sender import Sender
from proxy.huggingface.servers import Servers
from proxy.huggingface.sizes import Sizes
from proxy.huggingface.states import State
from proxy.inference.endpoints import InferenceEndpoint
from proxy.limits.deadline import Deadline
from proxy.xcontent.values import Json

T = TypeVar("T")
_AWAY: Final = (502, 503, 504)  # statuses of gateways whose server is away
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
    """Sends texts in batches that their servers take."""

    def __init__(self, sender: Sender, config: ProviderConfig, servers: Servers) -> None:
        self._sender = sender
        self._config = config
        self._servers = servers

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
        sending = self._sending(endpoint, task, deadline)
        groups = sending.groups(texts)
        if len(groups) == 1:
            return await sending.in_turn(groups[0])
        places = asyncio.Semaphore(self._config.concurrency)

        async def send(batch: Batch) -> list[T]:
            async with places:
                return await sending.in_turn(batch)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(send(batch)) for batch in groups]
        except ExceptionGroup as failures:
            tasks.clear()  # its tasks know the failure, the failure this frame and all results
            raise _first(failures) from None
        return [result for task in tasks for result in task.result()]

    def sizes(self, endpoint: InferenceEndpoint) -> Sizes:
        """How much the endpoint's server takes in one call."""
        return self._servers.of(endpoint).sizes

    def take_turn(self, endpoint: InferenceEndpoint) -> bool:
        """Whether rate limit and server let a call leave now; it counts as having left."""
        is_free = self._servers.of(endpoint).places.is_free()
        return is_free and self._sender.take_turn(endpoint)

    async def turn(self, endpoint: InferenceEndpoint) -> None:
        """Wait until the rate limit lets a call leave, however many wait already."""
        await self._sender.turn(endpoint, bounded=False)

    def check_room(self, endpoint: InferenceEndpoint, waiting: int) -> None:
        """Raises: Rejected if no more than these may wait."""
        self._sender.check_room(endpoint, waiting)

    async def send(
        self, endpoint: InferenceEndpoint, task: BatchTask[T], batch: Batch, deadline: Deadline
    ) -> list[T]:
        """The results of one batch, whose turn it is."""
        return await self._sending(endpoint, task, deadline).now(batch)

    def _sending(
        self, endpoint: InferenceEndpoint, task: BatchTask[T], deadline: Deadline
    ) -> _Sending[T]:
        return _Sending(self._sender, self._servers, endpoint, task, deadline)


class _Sending(Generic[T]):
    """The batches of one request; every batch of every task is sent here."""

    def __init__(
        self,
        sender: Sender,
        servers: Servers,
        endpoint: InferenceEndpoint,
        task: BatchTask[T],
        deadline: Deadline,
    ) -> None:
        self._sender = sender
        self._servers = servers
        self._server = servers.of(endpoint)
        self._endpoint = endpoint
        self._task = task
        self._deadline = deadline

    def groups(self, texts: Sequence[Text]) -> list[Batch]:
        """The texts in batches that the server takes, as far as that is known."""
        sizes = self._server.sizes
        return list(batches(texts, sizes.inputs, sizes.bytes))

    async def in_turn(self, batch: Batch) -> list[T]:
        """The results of a batch, sent once the rate limit lets it leave.

        In several calls if the server turned out to take less, since the batch was made.
        """
        sizes = self._server.sizes
        if len(batch) > 1 and not fit(batch.texts, sizes.inputs, sizes.bytes):
            return await self._in_parts(batch)
        await self._sender.turn(self._endpoint)
        return await self.now(batch)

    async def now(self, batch: Batch) -> list[T]:
        """The results of a batch whose turn it is.

        One that the server refuses for its size is sent in parts. If the task allows it, texts that
        are too long are cut: all of a batch by half after a 413, as Elasticsearch does; else only
        those, and at once, if the server says that this is the reason.
        """
        task, sender, sent, cuts = self._task, self._sender, batch, 0
        retries = sender.retries(self._deadline)
        while True:
            outcome = await self._attempt(sent, is_retry=retries.failed > 0)
            if isinstance(outcome, Refusal):
                if len(batch) > 1 and is_batch_too_large(outcome):
                    self._server.sizes.refused(batch, outcome)
                    return await self._in_parts(batch)
                halves = task.cuts_texts and outcome.status == 413
                share = fitting_share(outcome) if task.cuts_texts and not halves else None
                if share is not None and len(batch) > 1:  # one of them is too long
                    return await self._one_by_one(batch.split())
                if share is not None and cuts < _MOST_CUTS:
                    sent, cuts = sent.shortened(share), cuts + 1
                    await sender.turn(self._endpoint)
                    retries = sender.retries(self._deadline)
                    continue
                if halves:
                    sent = sent.shortened()
            if isinstance(outcome, FailedCall):
                outcome = sender.failure(self._endpoint, outcome)
            if not isinstance(outcome, Failure):
                if task.keep is not None:
                    task.keep(self._endpoint, sent, outcome)
                return outcome
            await retries.wait(outcome)

    async def _attempt(self, batch: Batch, *, is_retry: bool) -> list[T] | FailedCall | Failure:
        call = Call(self._endpoint, self._task.body(batch), is_retry, self._deadline)
        reader = self._task.reader(batch)
        if self._sender.is_patient:
            send = partial(self._in_place, reader=reader)
            return await self._sender.patiently(call, self._deadline, send)
        return await self._in_place(call, reader)

    async def _in_place(
        self, call: Call, reader: Reader[list[T]]
    ) -> list[T] | FailedCall | Failure:
        places = self._server.places
        place = places.take() if places.is_free() else await self._place()
        status: int | None = 0
        try:
            outcome = await self._sender.attempt(call, reader)
            if isinstance(outcome, FailedCall | Failure):
                status = outcome.status if isinstance(outcome, Refusal) else 0
                self._note_failure(status)
            else:
                status = None
            return outcome
        finally:
            places.leave(place, status)

    def _note_failure(self, status: int) -> None:
        """The server is perhaps not what it was; one that was away even less (0: no reply)."""
        self._server.may_have_changed()
        if status == 0 or status in _AWAY:
            self._server.interruptions += 1

    async def _place(self) -> Place:
        overloaded = advice_on_state(self._endpoint, State.OVERLOADED)
        with HeldUp(overloaded), self._sender.queued(self._endpoint):
            return await self._server.places.turn(self)

    async def _in_parts(self, batch: Batch) -> list[T]:
        """In as many calls as it takes by what is known of the server; in two at least."""
        parts = self.groups(batch.texts)
        return await self._one_by_one(parts if len(parts) > 1 else batch.split())

    async def _one_by_one(self, parts: Iterable[Batch]) -> list[T]:
        return [result for part in parts for result in await self.in_turn(part)]


def _first(failures: ExceptionGroup[Exception]) -> Exception:
    first, *others = failures.exceptions
    for other in others:
        forget_frames(other)  # nobody will see it, and its frames hold texts and results
    return first if isinstance(first, ProxyError) else failures
