"""Stub providers and upstreams that misbehave on demand, for tests of faults and timing."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

import orjson
from aiohttp import web
from multidict import CIMultiDict

JSON: Final = {"Content-Type": "application/json"}
S = TypeVar("S", bound=AbstractAsyncContextManager[Any])
EVENTS: Final = {"Content-Type": "text/event-stream"}
# Seconds that keep two writes from arriving as one.
BETWEEN_WRITES: Final = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A response of a FaultyServer, or a fault.

    `hang`: no response, ever. `reset`: the connection is aborted before the first byte of one.
    `reset_after`: it is aborted after the last chunk. `hang_after`: nothing follows that, ever.
    """

    status: int = 200
    reason: str | None = None  # None: the usual one of the status
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)
    body: bytes = b""
    chunks: Sequence[bytes] | None = None  # one TCP write each, instead of `body`
    delay: float = 0.0  # seconds before the head
    pause: float = BETWEEN_WRITES  # seconds after each chunk
    fault: Literal["hang", "reset", "reset_after", "hang_after"] | None = None


def json_reply(value: Any, status: int = 200, **more: Any) -> Reply:
    """A reply with `value` as JSON."""
    return Reply(status=status, body=orjson.dumps(value), **more)


def event_reply(*chunks: str, **more: Any) -> Reply:
    """An event stream; each chunk is one write."""
    return Reply(headers=EVENTS, chunks=[chunk.encode() for chunk in chunks], **more)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that arrived; `at` is a time.monotonic(), `target` the raw path and query."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


OF_TEI: Final = {"x-compute-type": "cpu"}


class FaultyServer:
    """An HTTP server on a free port of 127.0.0.1 that answers as told and records every call.

    `answer` maps a Call to its Reply. Replies in a list are used in order, and the last one again
    and again. Apart from these it answers `GET /info` with `info`, and records that in `asked`; one
    that has something to say there says in its replies that it is text-embeddings-inference.
    """

    def __init__(self, answer: Callable[[Call], Reply] | Sequence[Reply]) -> None:
        self.answer = answer if callable(answer) else in_turn(answer)
        self.calls: list[Call] = []
        self.info = json_reply({"error": "not found"}, 404)
        self.asked: list[Call] = []
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> FaultyServer:
        application = web.Application(client_max_size=1 << 30)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(
            application, handler_cancellation=True, shutdown_timeout=0.1, access_log=None
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        arrived = time.monotonic()
        body = await request.read()
        call = Call(
            method=request.method,
            target=request.raw_path,
            headers=request.headers.copy(),
            body=body,
            at=arrived,
        )
        if call.method == "GET" and call.path.endswith("/info"):
            self.asked.append(call)
            reply = self.info
        else:
            self.calls.append(call)
            reply = self.answer(call)
        await asyncio.sleep(reply.delay)
        if reply.fault == "hang":
            await asyncio.Event().wait()
        if reply.fault == "reset":
            return _cut(request, web.Response())
        if reply.chunks is None:
            headers = CIMultiDict(reply.headers)
            if self.info.status != 404:
                headers.update(OF_TEI)
            return web.Response(
                status=reply.status, reason=reply.reason, headers=headers, body=reply.body
            )
        return await self._stream(request, reply, reply.chunks)

    async def _stream(
        self, request: web.Request, reply: Reply, chunks: Sequence[bytes]
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=reply.status, headers=reply.headers)
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
            await asyncio.sleep(reply.pause)
        if reply.fault == "reset_after":
            return _cut(request, response)
        if reply.fault == "hang_after":
            await asyncio.Event().wait()
        await response.write_eof()
        return response


def in_turn(replies: Sequence[Reply]) -> Callable[[Call], Reply]:
    """An `answer` that gives each reply once, in order, and then the last one again and again."""
    left = list(replies)

    def answer(_: Call) -> Reply:
        return left.pop(0) if len(left) > 1 else left[0]

    return answer


def _cut(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return response


@contextmanager
def in_thread(server: S) -> Iterator[S]:
    """Run the server in an event loop of another thread, for tests that are not async."""
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def run() -> None:
        async with server:
            stop = asyncio.Event()
            started.set_result((asyncio.get_running_loop(), stop))
            await stop.wait()

    def main() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=main, daemon=True)
    thread.start()
    loop, stop = started.result()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def contract_reply(call: Call) -> Reply:
    """What the provider of the contract cases answers, by path; cases name it `${HF_URL}`."""
    if b"__sleep__" in call.body:
        return Reply(fault="hang")
    if call.method != "POST":
        return json_reply({"error": "not found"}, 404)
    if call.path.startswith("/fail/"):
        return json_reply({"error": "stub failure"}, int(call.path.removeprefix("/fail/")))
    make = FIXED.get(call.path)
    if make is None:
        return json_reply({"error": f"no such path {call.path}"}, 404)
    return make(call.json)


def _embed(vector: Sequence[float]) -> Callable[[Any], Reply]:
    return lambda body: json_reply([vector for _ in body["inputs"]])


def _sparse(body: Any) -> Reply:
    return json_reply([{"tok_a": 0.5, "tok_b": 1} for _ in body["inputs"]])


def _rerank(body: Any) -> Reply:
    """Rank the texts in reverse order, with scores of 0.9, 0.5 and then less and less."""
    count = len(body["texts"])
    scores = [0.9, 0.5, *(0.4 / n for n in range(1, count))][:count]
    return json_reply([{"index": count - 1 - n, "score": s} for n, s in enumerate(scores)])


def _chat(body: Any) -> Reply:
    if not body.get("stream"):
        message = {"role": "assistant", "content": "hello world"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return json_reply({"id": "1", "object": "chat.completion", "choices": [choice]})
    return event_reply(
        _chunk({"content": "hello"}),
        _chunk({"content": " world"}),
        _chunk({}, "stop"),
        "data: [DONE]\n\n",
    )


def _chunk(delta: Mapping[str, str], finish_reason: str | None = None) -> str:
    choice: dict[str, Any] = {"index": 0, "delta": delta}
    if finish_reason is not None:
        choice["finish_reason"] = finish_reason
    chunk = {
        "id": "chatcmpl-1",
        "model": "stub-model",
        "object": "chat.completion.chunk",
        "choices": [choice],
    }
    return f"data: {orjson.dumps(chunk).decode()}\n\n"


FIXED: Final[dict[str, Callable[[Any], Reply]]] = {
    "/embed": _embed([0.1, 0.2, 1]),
    "/embed-odd": _embed([1e-8, 1e10, -0.0, 3, 0.001, 16777216]),
    "/sparse": _sparse,
    "/rerank": _rerank,
    "/v1/chat/completions": _chat,
}
