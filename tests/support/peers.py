"""Raw ends of connections, in the hands of a test."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import struct
from typing import Any, Final

import orjson

HOST: Final = b"Host: es\r\n"
GET: Final = b"GET /x HTTP/1.1\r\nHost: es\r\n\r\n"

OK: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

MIB: Final = 1024 * 1024
# Answers that are not whole yet.
BROKEN: Final = {
    "sized": b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
    "chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
}


class Peer:
    """One end of a connection to the lane, in the hands of a test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        if self.writer.is_closing():  # else uvloop raises a RuntimeError
            raise ConnectionResetError("the other side has gone")
        self.writer.write(data)
        await self.writer.drain()

    async def read(self, count: int) -> bytes:
        return await self.reader.readexactly(count)

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def rest(self) -> bytes:
        """All up to the end; raises ConnectionResetError where the connection was reset."""
        return await self.reader.read()

    async def lost(self) -> None:
        """Wait for the end of the connection, in whatever way."""
        with contextlib.suppress(ConnectionResetError):
            await self.reader.read()

    async def error(self, status: int) -> dict[str, Any]:
        """The error that is answered, checked for Elasticsearch's form."""
        head = await self.head()
        lines = head.decode().split("\r\n")
        assert lines[0].startswith(f"HTTP/1.1 {status} ")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:-2])
        assert headers["x-elastic-product"] == "elasticsearch"
        assert headers["content-type"] == "application/json"
        document = orjson.loads(await self.read(int(headers["content-length"])))
        assert document["status"] == status
        assert document["error"]["root_cause"][0]["type"] == document["error"]["type"]
        error: dict[str, Any] = document["error"]
        return error

    def end(self) -> None:
        """Close our side only."""
        self.writer.write_eof()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    def reset(self) -> None:
        if not self.writer.is_closing():
            sock = self.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


def noise(size: int) -> bytes:
    block = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(1024))
    return (block * (size // len(block) + 1))[:size]


def same_error(error: dict[str, Any], reason: str) -> None:
    """The error is Elasticsearch's status_exception with this reason."""
    cause = {"type": "status_exception", "reason": reason}
    assert error == {"root_cause": [cause], **cause}
