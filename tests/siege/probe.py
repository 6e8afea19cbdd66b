"""The unrelated caller: `python -m tests.siege.probe PROXY PROVIDER [--tls]`.

It sends requests of each kind at a steady pace, each kind over a connection of its own that it
keeps, and writes a line for each answer: kind, when it was asked, seconds that it waited, status.
The status is 0 where the connection was lost. It comes from an address of its own.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from typing import Final, NamedTuple

from tests.siege.wire import PROBER, address_of, any_certificate, put, read_answer, request

ADDRESS: Final = "127.0.0.9"
ENDPOINT: Final = "/_inference/text_embedding/probe"
LARGE_TIMEOUT: Final = 1.0  # seconds that a larger inference may take
LARGE_TEXT: Final = b"some words " * 50_000


class Kind(NamedTuple):
    """A request, and the seconds from one to the next."""

    data: bytes
    pace: float


def inference(tail: str, text: bytes) -> bytes:
    return request("POST", ENDPOINT + tail, b'{"input":"%b"}' % text, user=PROBER)


KINDS: Final = {
    "forward": Kind(request("GET", "/probe/_doc/1", user=PROBER), 0.01),
    "infer": Kind(inference("", b"a small text"), 0.01),
    "large": Kind(inference(f"?timeout={LARGE_TIMEOUT:g}s", LARGE_TEXT), 0.25),
}


async def ask(kind: str, proxy: tuple[str, int], tls: ssl.SSLContext | None) -> None:
    data, pace = KINDS[kind]
    while True:
        began = time.monotonic()
        try:
            reader, writer = await connect(proxy, tls)
            while True:
                began = time.monotonic()
                writer.write(data)
                tell(kind, began, await read_answer(reader))
                await asyncio.sleep(began + pace - time.monotonic())
        except (OSError, EOFError):
            tell(kind, began, 0)
            await asyncio.sleep(pace)


def tell(kind: str, began: float, status: int) -> None:
    waited = time.monotonic() - began
    sys.stdout.write(f"{kind} {began:.6f} {waited:.6f} {status}\n")
    sys.stdout.flush()


async def connect(
    proxy: tuple[str, int], tls: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    name = None if tls is None else ""
    return await asyncio.open_connection(
        *proxy, ssl=tls, server_hostname=name, local_addr=(ADDRESS, 0), limit=1 << 20
    )


async def main(proxy: str, provider: str, *options: str) -> None:
    address = address_of(proxy)
    tls = any_certificate() if options else None
    reader, writer = await connect(address, tls)
    writer.write(put(ENDPOINT, f"http://{provider}/embed", user=PROBER))
    assert await read_answer(reader) == 200
    writer.close()
    await asyncio.gather(*(ask(kind, address, tls) for kind in KINDS))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
