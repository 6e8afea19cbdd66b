"""A provider for the soak: answers at once, and cuts streams midway at /cut."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web

VECTOR: Final = [0.25] * 384
EVENTS: Final = 20  # of a stream
PAUSE: Final = 0.02  # seconds between two events
BACKLOG: Final = 1024  # connections that may wait to be accepted, as servers of models have it


_VECTOR: Final = json.dumps(VECTOR).encode()


async def embed(request: web.Request) -> web.Response:
    inputs = (await request.json())["inputs"]
    body = b"[%b]" % b",".join([_VECTOR] * len(inputs))
    return web.Response(body=body, content_type="application/json")


async def chat(request: web.Request) -> web.StreamResponse:
    body: dict[str, Any] = await request.json()
    if not body["stream"]:
        return web.json_response({"choices": [{"message": {"content": "yes"}}]})
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    cut = request.path.startswith("/cut")
    for number in range(EVENTS):
        if cut and number == EVENTS // 2 and request.transport is not None:
            request.transport.abort()
            return response
        delta = {"choices": [{"delta": {"content": f"word {number} "}, "index": 0}]}
        await response.write(b"data: " + json.dumps(delta).encode() + b"\n\n")
        await asyncio.sleep(PAUSE)
    await response.write(b"data: [DONE]\n\n")
    return response


@asynccontextmanager
async def provider(port: int = 0) -> AsyncIterator[str]:
    """A running provider: its URL. Port 0 takes a free one."""
    app = web.Application(client_max_size=1 << 30)
    app.router.add_post("/embed", embed)
    app.router.add_post("/v1/chat/completions", chat)
    app.router.add_post("/cut/v1/chat/completions", chat)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, backlog=BACKLOG).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _serve(port: int) -> None:
    async with provider(port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
