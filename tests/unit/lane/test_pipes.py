"""Connections within the process: bytes, flow control and ends, as of any other connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from proxy.lane import pipes
from tests.support.lanes import LOOPS


class End(asyncio.Protocol):
    """Notes what happens to it."""

    def __init__(self) -> None:
        self.data = b""
        self.sizes: list[int] = []
        self.full = False
        self.ended = False
        self.lost: list[Any] = []
        self.on_data: Callable[[bytes], None] = lambda data: None
        self.is_called = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        assert not self.is_called
        self.is_called = True
        self.data += data
        self.sizes.append(len(data))
        self.on_data(data)
        self.is_called = False

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False

    def eof_received(self) -> None:
        self.ended = True

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.append(error)


@pytest.fixture(params=LOOPS)
def ends(request):
    """Two ends of a connection, and what runs the loop for some turns."""
    with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
        left, right = End(), End()

        async def settle() -> None:
            for _ in range(5):
                await asyncio.sleep(0)

        async def connect() -> None:
            pipes.connect(lambda: left, lambda: right)

        runner.run(connect())
        yield left, right, lambda: runner.run(settle())


def test_what_is_written_is_received_at_once(ends):
    left, right, _ = ends
    left.transport.write(b"one")
    right.transport.write(bytearray(b"two"))
    left.transport.writelines([b" th", b"", b"ree"])
    assert (right.data, left.data) == (b"one three", b"two")


def test_an_answer_within_a_call_waits_for_its_end(ends):
    left, right, settle = ends
    right.on_data = lambda data: right.transport.write(b"answer") if data == b"request" else None
    left.on_data = lambda data: left.transport.write(b" and more")
    left.transport.write(b"request")
    assert left.data == b""
    settle()
    assert (left.data, right.data) == (b"answer", b"request and more")


def test_a_reader_that_pauses_gets_nothing_and_the_writer_is_paused(ends):
    left, right, settle = ends
    right.transport.pause_reading()
    left.transport.write(b"x" * 40_000)
    assert not left.full
    left.transport.write(b"y" * 40_000)
    assert left.full
    assert (right.data, left.transport.get_write_buffer_size()) == (b"", 80_000)
    right.transport.resume_reading()
    settle()
    assert right.data == b"x" * 40_000 + b"y" * 40_000
    assert not left.full
    assert left.transport.get_write_buffer_size() == 0


def test_what_is_large_comes_in_pieces_between_which_a_reader_may_pause(ends):
    left, right, settle = ends
    whole = bytes(range(256)) * 2000
    right.on_data = lambda data: right.transport.pause_reading()
    left.transport.write(whole)
    settle()
    assert right.sizes == [65536]
    while len(right.data) < len(whole):
        right.transport.resume_reading()
        settle()
    assert right.data == whole
    assert max(right.sizes) == 65536


def test_a_writer_without_a_buffer_waits_for_the_last_byte(ends):
    left, right, settle = ends
    left.transport.set_write_buffer_limits(high=0)
    left.transport.write(b"x")
    assert not left.full
    right.transport.pause_reading()
    left.transport.write(b"y")
    assert left.full
    right.transport.resume_reading()
    settle()
    assert not left.full


def test_a_writer_may_give_up_its_buffer_once_something_is_in_it(ends):
    left, right, settle = ends
    right.transport.pause_reading()
    left.transport.write(b"x")
    assert not left.full
    left.transport.set_write_buffer_limits(high=0)
    assert left.full
    right.transport.resume_reading()
    settle()
    assert not left.full


def test_closing_sends_all_that_was_written_first(ends):
    left, right, settle = ends
    right.transport.pause_reading()
    left.transport.write(b"last")
    left.transport.close()
    left.transport.write(b"too late")
    settle()
    assert (left.lost, right.lost) == ([], [])
    right.transport.resume_reading()
    settle()
    assert (right.data, right.ended, right.lost, left.lost) == (b"last", True, [None], [None])


def test_aborting_drops_what_was_not_received(ends):
    left, right, settle = ends
    right.transport.pause_reading()
    left.transport.write(b"dropped")
    left.transport.abort()
    settle()
    right.transport.resume_reading()
    settle()
    assert (right.data, right.ended, right.lost, left.lost) == (b"", True, [None], [None])


def test_both_ends_may_close_at_once(ends):
    left, right, settle = ends
    left.transport.close()
    right.transport.close()
    left.transport.close()
    settle()
    assert (left.lost, right.lost) == ([None], [None])


def test_a_fault_ends_the_connection(ends):
    left, right, settle = ends

    def fail(data: bytes) -> None:
        raise ZeroDivisionError

    right.on_data = fail
    with pytest.raises(ZeroDivisionError):
        left.transport.write(b"x")
    settle()
    assert (left.lost, right.lost) == ([None], [None])
