"""Another address of a server, so that an address can come and go."""

from __future__ import annotations

import asyncio
import ssl
from typing import Self

from yarl import URL


class Relay:
    """Passes connections to a port of 127.0.0.1 on to a server; they are cut when it ends.

    Without a port it finds one. Subclasses may look at what callers send, and at connections.
    """

    def __init__(self, server: URL, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.port = port
        self.passed = 0  # connections
        self._server = server
        self._tls = tls
        self._listener: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(
            self._connect, "127.0.0.1", self.port, ssl=self._tls
        )
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def cut(self) -> None:
        """Listen no more, and end all connections."""
        assert self._listener is not None
        self._listener.close()
        for connection in self._connections:
            connection.cancel()

    def stops(self, data: bytes) -> bool:
        """Whether a connection ends at what the caller has sent."""
        return False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, as long as it is open."""
        far_reader, far_writer = await asyncio.open_connection(self._server.host, self._server.port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, far_writer, is_looked_at=True))
                group.create_task(self._pump(far_reader, writer))
        except* ConnectionError:
            pass
        finally:
            far_writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.passed += 1
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        try:
            await self.serve(reader, writer)
        except (OSError, asyncio.CancelledError):  # the server, or this relay, has ended
            pass
        finally:
            self._connections.discard(connection)
            writer.transport.abort()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        is_looked_at: bool = False,
    ) -> None:
        while data := await reader.read(65536):
            if is_looked_at and self.stops(data):
                break
            writer.write(data)
            await writer.drain()
        writer.close()
