"""A node of the upstream that misbehaves on demand."""

from __future__ import annotations

import asyncio
import contextlib

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
TLS_HANDSHAKE = b"\x16"  # what the first record of a TLS connection begins with
BUSY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy"


class StubNode:
    """Answers every request with `answer`; without one, it closes the connection instead."""

    def __init__(self) -> None:
        self.answer: bytes | None = OK
        self.breaks_off = False  # behind its answer
        self.heads: list[bytes] = []  # of the requests that came
        self.bodies: list[bytes] = []
        self.connections = 0  # that were made
        self.most_at_once = 0
        self.gate = asyncio.Event()  # before each answer
        self.gate.set()
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def kill(self) -> None:
        """As by SIGKILL: nothing is finished, and nothing listens."""
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        self.most_at_once = max(self.most_at_once, len(self._writers))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readexactly(1)
                if head == TLS_HANDSHAKE:  # no HTTP, as any server would find
                    break
                head += await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
                self.bodies.append(await reader.readexactly(int(length or 0)))
                await self.gate.wait()
                if self.answer is None:
                    break
                writer.write(self.answer)
                if self.breaks_off:
                    break
        self._writers.discard(writer)
        writer.close()
