"""What reading a reply costs: counted before it is spent."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest

from proxy.ground.errors import MemoryShort, ProxyError
from proxy.huggingface.reading import Reader
from proxy.huggingface.replies import (
    flawless_embeddings,
    parse_completion,
    parse_embeddings,
    parse_rerank,
    parse_sparse,
)
from proxy.limits.memory import PER_REPLY_BYTE, MemoryBudget, reserve

EMBEDDINGS = Reader(parse_embeddings, flawless_embeddings)
TREES = [
    Reader(lambda data: parse_sparse(data, [False])),
    Reader(lambda data: parse_rerank(data, 10)),
    Reader(parse_completion),
    EMBEDDINGS,
]


@contextmanager
def peak() -> Iterator[list[int]]:
    """Bytes of memory that the block takes at most, added when it ends."""
    found: list[int] = []
    tracemalloc.start()
    try:
        yield found
    finally:
        found.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()


async def cost(reader: Reader[Any], data: bytes) -> tuple[int, int]:
    """Bytes of memory that are counted for a reply, and those that it takes.

    Threads that other tests have left take some, too, but hardly ever twice.
    """
    return min([await one_cost(reader, data) for _ in range(2)], key=lambda found: found[1])


async def one_cost(reader: Reader[Any], data: bytes, limit: int = 1 << 30) -> tuple[int, int]:
    """The same, measured once."""
    budget = MemoryBudget(limit)
    with budget.request():
        reserve(len(data) * PER_REPLY_BYTE)
        with peak() as taken:
            try:
                result = await reader.read(data)
            except MemoryShort:
                raise
            except ProxyError:
                result = None
            del result
        return budget.reserved, taken[0] + len(data)


@pytest.mark.parametrize("item", ["0,", "300,", "1.5,", "-0.0123456789012345,"])
async def test_what_numbers_cost_is_counted(item):
    vector = f"[{item * (20_000 // len(item))}0]"
    data = f"[{','.join([vector] * 16)}]".encode()
    counted, taken = await cost(EMBEDDINGS, data)
    assert taken < counted


@pytest.mark.parametrize("item", ["[],", "[0],", "[],[0,0],"])
async def test_what_small_vectors_cost_is_counted(item):
    counted, taken = await cost(EMBEDDINGS, f"[{item * 10_000}[0]]".encode())
    assert taken < counted


@pytest.mark.parametrize("reader", TREES)
@pytest.mark.parametrize(
    "item",
    ['{"a":1},', "{},", "[],", "0,", '"ab",', '{"index":0,"score":1},', '{"token":1,"b":2},'],
)
async def test_what_trees_cost_is_counted(reader, item):
    counted, taken = await cost(reader, f"[{item * 3000}{{}}]".encode())
    assert taken < counted


async def test_a_reply_that_costs_too_much_is_refused_before_it_is_read():
    data = b"[[" + b"0," * 2_000_000 + b"0]]"
    with peak() as taken, pytest.raises(MemoryShort):
        await one_cost(EMBEDDINGS, data, limit=40_000_000)
    assert taken[0] < 1_000_000


async def test_ordinary_replies_cost_what_was_counted_while_they_came():
    data = orjson.dumps([[0.012345678901234 * n for n in range(1024)]] * 32)
    counted, _ = await cost(EMBEDDINGS, data)
    assert counted == len(data) * PER_REPLY_BYTE


async def test_a_reply_is_read_beside_the_event_loop_unless_it_is_short():
    threads = set()

    def read(data: bytes) -> None:
        threads.add(threading.current_thread() is threading.main_thread())

    await Reader(read).read(b"[" + b"0," * 10_000 + b"0]")
    assert threads == {False}
    await Reader(read).read(b"[0]")
    assert threads == {False, True}
