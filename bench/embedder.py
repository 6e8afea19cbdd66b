"""A provider of embeddings that answers at once, so that little but what asks it is measured.

    python -m bench.embedder PORT

In the form of text-embeddings-inference, and under `/v1/` in that of OpenAI.
"""

from __future__ import annotations

import asyncio
import re
import sys
from typing import Final, cast

import orjson

VECTOR: Final = orjson.dumps([round(n * 0.001 - 0.19, 6) for n in range(384)])
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


class Embedder(asyncio.Protocol):
    """One connection; requests have a length."""

    def __init__(self) -> None:
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n") + 4) > 3:
            found = _LENGTH.search(self._data, 0, end)
            whole = end + (int(found[1]) if found else 0)
            if len(self._data) < whole:
                return
            head, body = self._data[:end], self._data[end:whole]
            self._data = self._data[whole:]
            self._answer(openai=head.startswith(b"POST /v1/"), body=body)

    def _answer(self, *, openai: bool, body: bytes) -> None:
        inputs = orjson.loads(body)["input" if openai else "inputs"]
        count = len(inputs) if isinstance(inputs, list) else 1
        reply = b"[" + b",".join([VECTOR] * count) + b"]"
        if openai:
            vectors = (
                b'{"object":"embedding","index":%d,"embedding":%b}' % (n, VECTOR)
                for n in range(count)
            )
            reply = b'{"object":"list","model":"m","data":[%b],"usage":%b}' % (
                b",".join(vectors),
                b'{"prompt_tokens":1,"total_tokens":1}',
            )
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (len(reply), reply)
        )


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Embedder, "127.0.0.1", int(sys.argv[1]), backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
