"""The events of a provider's stream, as they come."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from functools import partial
from time import monotonic
from typing import Final, TypeVar

import aiohttp

from proxy.ground.errors import Cause, MemoryShort, ProxyError
from proxy.ground.frames import forget_frames
from proxy.ground.sse import EventDecoder, EventTooLarge, ServerSentEvent
from proxy.huggingface.calls import OpenReply, what_failed
from proxy.huggingface.failures import failed_to_send, failure
from proxy.huggingface.hints import advice_on, advice_on_shape, advice_on_state
from proxy.huggingface.redaction import hide_token
from proxy.huggingface.states import State
from proxy.huggingface.streamerrors import (
    broken_off,
    ended_with,
    is_cut_off,
    no_stream,
    report_of,
    reported_at_end,
)
from proxy.inference.endpoints import InferenceEndpoint
from proxy.inference.releases import Profile
from proxy.limits.memory import reserve
from proxy.limits.threads import offload
from proxy.limits.turns import Turns, Worker

T = TypeVar("T")
_PIECE: Final = 4096  # bytes of a stream that are read before others may get their turn
_LONGEST_TICK: Final = 1.0  # seconds between two looks for streams that are silent
_QUICKLY_CONVERTED: Final = 8192  # characters of an event
# Bytes of memory, as measured:
_PER_EVENT_BYTE: Final = 8  # an event, its text, its values, and the event made of it
_FLOOD: Final = 16 * 1024  # bytes that came at once: the provider is faster than we are
_FULL_BUFFERS: Final = 512 * 1024  # of such a provider's connection


async def read_events(
    endpoint: InferenceEndpoint,
    reply: OpenReply,
    silence: Silence,
    profile: Profile,
    turns: Turns,
) -> AsyncIterator[ServerSentEvent]:
    """The events until `[DONE]` or the end of the reply, but for those without data.

    Raises: ProxyError if the reply breaks off or is no stream, an event does not end, or nothing
    comes for too long, as `silence` says; MemoryShort.
    """
    decoder, memory, worker, has_events = EventDecoder(), _StreamMemory(), Worker(turns), False
    body = _PatientReader(reply.content, silence)
    try:
        while chunk := await body.read():
            worker.begin()
            memory.came(len(chunk))
            began = False  # whether the stream's first event was the last one
            for start in range(0, len(chunk), _PIECE):
                for event in decoder.feed(chunk[start : start + _PIECE]):
                    if began:  # what came with the first event waits as all that follow it
                        began = False
                        worker.end()
                        await worker.begin_in_turn()
                    data = event.data.strip()
                    if data.upper() == "[DONE]":
                        reply.is_done = True
                        return
                    if data:  # none is a heartbeat
                        if not has_events:  # the first is waited for most: it goes before others
                            began = has_events = True
                            reply.read_in_turn(turns.puts_off)
                        yield event
                    await worker.pause()
                memory.holds(decoder.held)
                await worker.pause()
            worker.end()
        decoder.end()
    except TimeoutError as error:
        forget_frames(error)  # the body keeps it
        raise profile.timed_out(endpoint.inference_id, silence.seconds) from None
    except EventTooLarge:
        cause = Cause("i_o_exception", "an event of the stream is too large")
        failed = failed_to_send(endpoint, cause)
        raise failed.advised(advice_on_state(endpoint, State.FAILED)) from None
    except (aiohttp.ClientError, OSError) as error:
        outcome = what_failed(endpoint, error)
        failed = failure(endpoint, outcome, profile).error
        raise failed.advised(advice_on(endpoint, outcome)) from None
    finally:
        body.end()
    if (problem := _problem_at_end(endpoint, reply, decoder, has_events=has_events)) is not None:
        raise problem


def _problem_at_end(
    endpoint: InferenceEndpoint, reply: OpenReply, decoder: EventDecoder, *, has_events: bool
) -> ProxyError | None:
    """What is wrong with a reply that has ended without `[DONE]`, if anything is."""
    if (reported := reported_at_end(decoder.left, decoder.unfinished.event)) is not None:
        return report_of(endpoint, reported)
    if not has_events:
        return no_stream(endpoint, reply.content_type, decoder.left)
    if decoder.strange:
        return ended_with(endpoint, decoder.strange)
    return broken_off(endpoint) if is_cut_off(decoder.unfinished.data) else None


class Converted(AsyncIterator[T]):
    """Each event, once it is counted, converted, unless nothing is left of it.

    Raises: ProxyError, which `failed` is told first. No generator, which costs more to begin with.
    """

    def __init__(
        self,
        endpoint: InferenceEndpoint,
        events: AsyncIterator[ServerSentEvent],
        convert: Callable[[ServerSentEvent], T],
        count: Callable[[ServerSentEvent], None],
        failed: Callable[[InferenceEndpoint, ProxyError], None],
    ) -> None:
        self._endpoint = endpoint
        self._events = events
        self._convert = convert
        self._count = count
        self._failed = failed

    async def __anext__(self) -> T:
        try:
            while True:
                event = await anext(self._events)
                self._count(event)
                result = await _convert(self._endpoint, event, self._convert)
                if result:
                    return result
                del event
        except MemoryShort:
            raise
        except ProxyError as error:
            error = hide_token(error, self._endpoint)
            self._failed(self._endpoint, error)
            raise error from None


async def _convert(
    endpoint: InferenceEndpoint, event: ServerSentEvent, convert: Callable[[ServerSentEvent], T]
) -> T:
    try:
        if len(event.data) <= _QUICKLY_CONVERTED:
            return convert(event)
        return await offload(len(event.data), _QUICKLY_CONVERTED, partial(convert, event))
    except ProxyError as error:
        if error.advice is None and not isinstance(error, MemoryShort):
            error.advised(advice_on_shape(endpoint, event.data.encode(errors="replace")))
        raise


class Silence:
    """How long streams may say nothing: `seconds`; those that have not for longer are ended.

    One timer looks at all of them now and then: one for each would cost more than an event.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._tick = min(_LONGEST_TICK, seconds / 4)
        self._readers: set[_PatientReader] = set()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, reader: _PatientReader) -> None:
        self._readers.add(reader)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._tick, self._look)

    def forget(self, reader: _PatientReader) -> None:
        self._readers.discard(reader)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        since = monotonic() - self.seconds
        for reader in [reader for reader in self._readers if reader.has_waited(since)]:
            self._readers.discard(reader)
            reader.give_up()
        self._timer = loop.call_later(self._tick, self._look) if self._readers else None


class _PatientReader:
    """Reads a body, and waits only for so long for each of its pieces."""

    def __init__(self, content: aiohttp.StreamReader, silence: Silence) -> None:
        self._content = content
        self._silence = silence
        self._waits_since = math.inf
        self._read = 0  # bytes that had come by then
        silence.watch(self)

    async def read(self) -> bytes:
        """What has come, as soon as that is anything; empty at the end. Raises: TimeoutError."""
        self._waits_since, self._read = monotonic(), self._content.total_bytes
        piece = await self._content.readany()
        self._waits_since = math.inf
        return piece

    def end(self) -> None:
        """Nothing more is read."""
        self._silence.forget(self)

    def has_waited(self, since: float) -> bool:
        """Whether nothing has come since then, although it was waited for."""
        return self._waits_since <= since and self._content.total_bytes == self._read

    def give_up(self) -> None:
        self._content.set_exception(TimeoutError())


class _StreamMemory:
    """The memory that a stream takes, counted at its most: what was taken once is kept."""

    def __init__(self) -> None:
        self._most = 0  # bytes of an event
        self._is_flood = False

    def came(self, size: int) -> None:
        """Count bytes that have come at once. Raises: MemoryShort."""
        if size >= _FLOOD and not self._is_flood:
            self._is_flood = True
            reserve(_FULL_BUFFERS)

    def holds(self, size: int) -> None:
        """Count the bytes of an event that has not ended yet. Raises: MemoryShort."""
        if size > self._most:
            reserve((size - self._most) * _PER_EVENT_BYTE)
            self._most = size
