"""Answers that are streams of events."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from functools import partial
from typing import Any, Final, TypeVar

from aiohttp import ClientConnectionResetError, web

from proxy.api.answers import QUICKLY_WRITTEN, start
from proxy.api.call import Call, Events
from proxy.api.heartbeats import Heartbeats
from proxy.ground.authorization import confirm_stream
from proxy.ground.errors import ProxyError
from proxy.ground.frames import forget_frames
from proxy.ground.sse import DONE
from proxy.http1 import LAST_CHUNK, chunk, chunked_head
from proxy.limits.threads import offload
from proxy.rest.responder import Responder
from proxy.xcontent.values import Json

log = logging.getLogger(__name__)
T = TypeVar("T")
_MOST_GATHERED: Final = 64 * 1024  # bytes of events that are sent together


async def send_events(
    request: web.Request,
    call: Call,
    handler: Callable[[Call], Awaitable[Events]],
    heartbeat: float,
) -> web.StreamResponse:
    """Stream events; a failure before the provider has begun to answer keeps its status.

    `heartbeat`: seconds of silence until a comment is sent; 0 is for ever.
    """
    async with call.in_time():
        stream = await handler(call)
    with stream as events:
        answer = EventAnswer(request, call)
        await answer.gathering(_written(answer, call.responder, events, heartbeat))
    return answer


async def _written(
    answer: EventAnswer, responder: Responder, events: AsyncIterator[Json], heartbeat: float
) -> None:
    """Write each event, and how the stream ended: `[DONE]`, or one error event."""
    if heartbeat:
        async with Heartbeats(answer.write_frame, heartbeat) as beating:
            end = await _all_written(beating.write, responder, events)
    else:
        end = await _all_written(answer.write_frame, responder, events)
    await answer.end(end)


async def _all_written(
    write: Callable[[bytes], Awaitable[None]], responder: Responder, events: AsyncIterator[Json]
) -> bytes:
    """Write each event; the last one, which tells how the stream ended, is returned."""
    try:
        async for event in events:
            await confirm_stream()
            work = responder.work(event, QUICKLY_WRITTEN)
            if work <= QUICKLY_WRITTEN:
                frame = responder.event(event, is_light=True)
            else:
                frame = await offload(work, QUICKLY_WRITTEN, partial(responder.event, event))
            await write(frame)
    except ProxyError as error:
        log.info("stream ended by %s", error.type)
        forget_frames(error)
        return responder.error_event(error)
    return DONE


class EventAnswer(web.StreamResponse):
    """A stream of events that is written byte for byte, as a WholeAnswer is."""

    def __init__(self, request: web.Request, call: Call) -> None:
        super().__init__(status=200)
        responder = call.responder
        headers = responder.stream_headers()
        headers.extend(("Warning", warning) for warning in call.warnings)
        self._coding = responder.stream_coding()
        if self._coding is not None:
            headers["content-encoding"] = self._coding.name
        self._keep_alive = start(request, headers)
        self._head = chunked_head(200, headers.items(), keep_alive=self._keep_alive)
        self._frames: list[bytes] = []  # that are still to be sent
        self._size = 0  # bytes of them
        self._gathers = False
        self._writer = request.writer

    def gathering(self, writing: Coroutine[Any, Any, T]) -> Awaitable[T]:
        """Do `writing`; what it writes is sent together, each time that it waits for something.

        So one packet has the head and all events that have come by then, or one event alone.
        """
        return _Gathering(self, writing)

    def gather(self) -> None:
        """Send nothing of what is written, until `send_gathered`."""
        self._gathers = True

    def send_gathered(self) -> None:
        self._gathers = False
        self._flush()

    async def write_frame(self, frame: bytes) -> None:
        """Write an event or a comment; waits for a caller who reads slowly.

        Raises: ConnectionError where the caller has left.
        """
        transport = self._writer.transport
        if transport is None or transport.is_closing():
            raise ClientConnectionResetError
        self._frames.append(frame)
        self._size += len(frame)
        if not self._gathers or self._size >= _MOST_GATHERED:
            self._flush()
        await self._writer.drain()

    async def end(self, frame: bytes) -> None:
        """Write the last event."""
        self._frames.append(frame)
        self._flush(is_end=True)
        await self._writer.drain()

    def _flush(self, *, is_end: bool = False) -> None:
        data = b"".join(self._frames)
        self._frames, self._size = [], 0
        if data and self._coding is not None:
            data = self._coding.encode(data) + (self._coding.end() if is_end else b"")
        if data:
            data = chunk(data)
        data, self._head = self._head + data + (LAST_CHUNK if is_end else b""), b""
        transport = self._writer.transport
        if data and transport is not None and not transport.is_closing():
            transport.write(data)
            self._writer.output_size += len(data)

    # What aiohttp calls besides.

    async def prepare(self, request: web.BaseRequest) -> None:
        """Everything has been written."""

    async def write_eof(self, data: bytes = b"") -> None:
        """As `prepare`."""


class _Gathering(Generator[Any, Any, T], Awaitable[T]):
    """A coroutine, whose answer gathers what it writes as long as it runs."""

    def __init__(self, answer: EventAnswer, writing: Coroutine[Any, Any, T]) -> None:
        self._answer = answer
        self._writing = writing

    def __await__(self) -> Generator[Any, Any, T]:
        return self

    def __next__(self) -> Any:
        self._answer.gather()
        try:
            return self._writing.send(None)
        finally:
            self._answer.send_gathered()

    def send(self, value: Any) -> Any:
        """As `next`, as the event loop sends nothing."""
        return next(self)

    def throw(self, *error: Any) -> Any:
        self._answer.gather()
        try:
            return self._writing.throw(*error)
        finally:
            del error  # which refers to this frame
            self._answer.send_gathered()
