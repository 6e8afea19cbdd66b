"""Messages that are nearly all framing, from callers without credentials."""

from __future__ import annotations

from typing import Final

from tests.siege.attacker import Attacker
from tests.siege.catalogue import attack, reply
from tests.siege.provider import head
from tests.siege.wire import request

BLOCK: Final = 64 * 1024  # bytes that are sent at once
CHUNKED: Final = {"Transfer-Encoding": "chunked", "Content-Type": "application/json"}
START: Final = request("POST", "/siege/_bulk", headers=CHUNKED, user=None)


def blocks(chunk: bytes) -> bytes:
    return chunk * (BLOCK // len(chunk))


@attack(2, brief=True)
async def one_byte_chunks(caller: Attacker) -> None:
    """sixteen uploads in chunks of one byte"""
    await caller.pour(16, START, blocks(b"1\r\nx\r\n"))


@attack(2, flags=("--no-lane",), brief=True)
async def one_byte_chunks_no_lane(caller: Attacker) -> None:
    """the same without the lane"""
    await caller.pour(16, START, blocks(b"1\r\nx\r\n"))


@attack(2)
async def chunks_for_inference(caller: Attacker) -> None:
    """sixteen inferences in chunks of one byte"""
    target = await caller.endpoint()
    start = request("POST", target, headers=CHUNKED)
    await caller.pour(16, start, blocks(b"1\r\n \r\n"))


@attack(2)
async def chunk_extensions(caller: Attacker) -> None:
    """chunks of two bytes with extensions and leading zeros"""
    await caller.pour(16, START, blocks(b"00000002;a=b;c\r\nxx\r\n"))


@attack(2)
async def endless_trailers(caller: Attacker) -> None:
    """trailers without end"""
    await caller.pour(16, START + b"0\r\n", blocks(b"x: y\r\n"))


@attack(2)
async def endless_extension(caller: Attacker) -> None:
    """the extension of one chunk without end"""
    await caller.pour(16, START + b"1;", blocks(b"x"))


@attack(2)
async def blank_lines(caller: Attacker) -> None:
    """blank lines where a request belongs"""
    await caller.pour(16, b"", blocks(b"\r\n"))


@attack(2)
async def pipelined(caller: Attacker) -> None:
    """as many requests at once as fit"""
    await caller.pour(16, b"", blocks(request("GET", "/siege/_doc/1", user=None)))


@reply
async def one_byte_pieces():
    """An event stream in chunks of one byte."""
    yield head("text/event-stream", headers={"Transfer-Encoding": "chunked"})
    while True:
        yield blocks(b"1\r\n:\r\n1\r\n\n\r\n")


@attack(2)
async def chunks_from_a_provider(caller: Attacker) -> None:
    """a provider that streams in chunks of one byte"""
    data = await caller.inference(one_byte_pieces, "completion", tail="/_stream")
    await caller.flood(8, data)
