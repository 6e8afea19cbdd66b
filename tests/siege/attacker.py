"""The process that runs one attack.

    python -m tests.siege.attacker NAME SECONDS PROXY PROVIDER ADMIN PID DATABASE [--tls]

It writes `begun` when all is prepared, then `broken: …` for each promise that it saw broken, and in
the end `answered …`, how many answers of each status it got.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import ssl
import sys
from asyncio import StreamReader, StreamWriter
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from tests.siege import attacks as attacks  # fills the tables
from tests.siege.catalogue import ATTACKS, Reply
from tests.siege.wire import address_of, any_certificate, put, read_answer, request

AGAIN: Final = 0.02  # seconds until a connection that was lost is made again
ONE_BY_ONE: Final = 0.002  # seconds from one connection to the next, so that they keep their order
UNREAD: Final = 4096  # bytes of the receive buffer of a caller that reads nothing
BROKEN: Final = (OSError, EOFError, ssl.SSLError, ValueError)  # ends of connections, half answers


class Refused(Exception):
    """The proxy does not take the endpoint that the attack needs."""


class Attacker:
    """What attacks are made of."""

    def __init__(
        self, proxy: str, provider: str, admin: str, pid: str, database: str, *, tls: bool
    ) -> None:
        self.proxy = address_of(proxy)
        self.admin = address_of(admin)
        self.provider = provider
        self._pid = pid
        self.database = database
        self.answers: Counter[int] = Counter()
        self.begun = asyncio.Event()
        self.kept: list[StreamWriter] = []  # connections that stay open
        self._tls = any_certificate() if tls else None

    # Preparing

    async def endpoint(
        self, reply: Reply | None = None, task: str = "text_embedding", **settings: Any
    ) -> str:
        """Make an endpoint at the hostile provider; its target. Raises: Refused."""
        target = f"/_inference/{task}/siege-{os.getpid()}"
        url = f"http://{self.provider}/{task}/{reply.__name__ if reply else 'honest'}"
        status = await self.ask(put(target, url, **settings))
        if status != 200:
            raise Refused(status)
        return target

    async def inference(
        self,
        reply: Reply | None = None,
        task: str = "text_embedding",
        *,
        tail: str = "",
        body: bytes = b'{"input":"siege"}',
        zipped: bool = False,
        **settings: Any,
    ) -> bytes:
        """A request to an endpoint at the hostile provider; `tail` ends its target."""
        target = await self.endpoint(reply, task, **settings)
        return request("POST", target + tail, body, zipped=zipped)

    def begin(self) -> None:
        """From here on the time counts."""
        if not self.begun.is_set():
            tell("begun")
        self.begun.set()

    def broken(self, what: str) -> None:
        """Report a promise that does not hold."""
        tell(f"broken: {what}")

    def open_files(self) -> int:
        """How many the proxy has."""
        return len(os.listdir(f"/proc/{self._pid}/fd"))  # noqa: PTH208 - names alone

    # Sending

    async def open(
        self, *, address: tuple[str, int] | None = None, receive: int | None = None
    ) -> tuple[StreamReader, StreamWriter]:
        sock = socket.socket()
        sock.setblocking(False)
        if receive is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        await asyncio.get_running_loop().sock_connect(sock, address or self.proxy)
        tls = None if address else self._tls
        return await asyncio.open_connection(
            sock=sock, limit=receive or 1 << 20, ssl=tls, server_hostname="" if tls else None
        )

    async def ask(self, data: bytes) -> int:
        """The status of one answer, on a connection of its own."""
        reader, writer = await self.open()
        try:
            writer.write(data)
            status = await read_answer(reader)
        finally:
            writer.transport.abort()
        self.answers[status] += 1
        return status

    async def flood(self, connections: int, data: bytes) -> None:
        """Send the request again and again, on so many connections, and read the answers."""

        async def go_on() -> None:
            reader, writer = await self.open()
            while True:
                writer.write(data)
                await writer.drain()
                self.answers[await read_answer(reader)] += 1

        self.begin()
        await asyncio.gather(*(again(go_on) for _ in range(connections)))

    async def pour(self, connections: int, head: bytes, block: bytes) -> None:
        """Send the head, and then the block again and again, until there is an answer."""

        async def go_on() -> None:
            reader, writer = await self.open()
            writer.write(head)
            answer = asyncio.ensure_future(reader.readuntil(b"\r\n"))
            try:
                while not answer.done():
                    writer.write(block)
                    await writer.drain()
                self.answers[int((await answer)[9:12])] += 1
            finally:
                answer.cancel()
                writer.transport.abort()

        self.begin()
        await asyncio.gather(*(again(go_on) for _ in range(connections)))

    async def hold(self, requests: Iterable[bytes]) -> None:
        """Send each on a connection of its own, and read only the beginning of the answers."""

        async def go_on(data: bytes, number: int) -> None:
            await asyncio.sleep(number * ONE_BY_ONE)
            reader, writer = await self.open(receive=UNREAD)
            self.kept.append(writer)
            writer.write(data)
            await writer.drain()
            self.answers[int((await reader.readexactly(12))[9:12])] += 1

        self.begin()
        each = enumerate(requests)
        await asyncio.gather(*(once(partial(go_on, data, number)) for number, data in each))
        await asyncio.Event().wait()

    async def hold_answers(self, connections: int, data: bytes) -> None:
        """The same on so many connections, one after the other; 429 is tried again."""
        self.begin()
        while self.answers.total() - self.answers[429] < connections:
            reader, writer = await self.open(receive=UNREAD)
            self.kept.append(writer)
            with suppress(*BROKEN):
                writer.write(data)
                await writer.drain()
                self.answers[int((await reader.readexactly(12))[9:12])] += 1
        await asyncio.Event().wait()


async def again(act: Callable[[], Awaitable[None]]) -> None:
    """Do it again each time that the connection is lost."""
    while True:
        await once(act)
        await asyncio.sleep(AGAIN)


async def once(act: Callable[[], Awaitable[None]]) -> None:
    """Do it until the connection is lost."""
    with suppress(*BROKEN):
        await act()


def tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def main(name: str, seconds: str, *addresses: str) -> None:
    caller = Attacker(*addresses[:5], tls="--tls" in addresses)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(_run(name, caller))
        await caller.begun.wait()
        await asyncio.wait([running], timeout=float(seconds))
        running.cancel()
    counts = " ".join(f"{status}x{count}" for status, count in sorted(caller.answers.items()))
    tell(f"answered {counts or 'nothing'}")


async def _run(name: str, caller: Attacker) -> None:
    try:
        await ATTACKS[name].run(caller)
    except Refused as error:
        tell(f"refused with {error}")
    finally:
        caller.begin()


if __name__ == "__main__":
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(main(*sys.argv[1:]))
