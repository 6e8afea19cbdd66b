"""The hostile provider: `python -m tests.siege.provider HOST:PORT`.

What it answers is named by the path, `/TASK/REPLY`; calls that are no attack, such as the trial of
a new endpoint, get an honest answer.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from tests.siege import attacks as attacks  # fills the tables
from tests.siege.catalogue import REPLIES

MARK: Final = b"siege"  # in the body of calls that are to be answered with malice
HONEST: Final = {
    "text_embedding": b"[[0.5,0.25]]",
    "sparse_embedding": b'[{"a":0.5}]',
    "rerank": b'[{"index":0,"score":0.5}]',
    "completion": b'{"choices":[{"message":{"content":"yes"}}]}',
    "chat_completion": b"data: [DONE]\n\n",
}


def head(
    kind: str = "application/json",
    *,
    status: int = 200,
    length: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """The head of an answer, which ends with the connection where no length is given."""
    fields = {"Content-Type": kind, "Connection": "close", **(headers or {})}
    if length is not None:
        fields["Content-Length"] = str(length)
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode()


async def answer(reader: StreamReader, writer: StreamWriter) -> None:
    with suppress(OSError, EOFError):
        start = (await reader.readuntil(b"\r\n\r\n")).lower()
        body = await reader.readexactly(int(start.partition(b"content-length: ")[2].split()[0]))
        _, task, name = start.split()[1].decode().split("/")
        if MARK in body:
            async for piece in REPLIES[name]():
                writer.write(piece)
                await writer.drain()
        else:
            kind = "text/event-stream" if task == "chat_completion" else "application/json"
            writer.write(head(kind, length=len(HONEST[task])) + HONEST[task])
            await writer.drain()
    writer.close()


async def serve(address: str) -> None:
    host, _, port = address.rpartition(":")
    server = await asyncio.start_server(answer, host, int(port), limit=1 << 20)
    sys.stdout.write(f"listening on http://{address}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
