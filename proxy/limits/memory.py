"""What bodies and replies under way take of the memory, as estimated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from proxy.errors import MemoryShort

# Bytes of memory, as measured, for what is counted.
PER_BODY_BYTE: Final = 3  # the body or the call that is made of it, the texts in it, buffers
PER_REPLY_BYTE: Final = 4  # numbers as floats of Python, and as the text of the answer
PER_VALUE: Final = 64  # of a body that has been read

# What begins a character beyond U+FFFF, in UTF-8 or escaped in JSON.
_WIDEST: Final = (b"\xf0", b"\xf1", b"\xf2", b"\xf3", b"\xf4", rb"\ud", rb"\uD")


class MemoryBudget:
    """The memory that requests may take together; one per process, used in its event loop alone."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.reserved = 0  # bytes

    @contextmanager
    def request(self) -> Iterator[None]:
        """Within it `reserve` takes memory for one request; all of it is given back at the end."""
        reservation = _Reservation(self)
        token = _current.set(reservation)
        try:
            yield
        finally:
            self.reserved -= reservation.size
            _current.reset(token)

    def take(self, size: int) -> None:
        """Raises: MemoryShort."""
        wanted = self.reserved + size
        if wanted > self._limit:
            raise MemoryShort(wanted, self._limit)
        self.reserved = wanted


class _Reservation:
    """What one request has taken."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self.size = 0  # bytes

    def add(self, size: int) -> None:
        self._budget.take(size)
        self.size += size


# Of the request under way: bodies and replies are read far below where it begins, by functions
# that have nothing else to do with memory.
_current: ContextVar[_Reservation | None] = ContextVar("reservation", default=None)


def reserve(size: int) -> None:
    """Take memory for the request under way; outside of any, nothing is counted.

    Raises: MemoryShort.
    """
    if (reservation := _current.get()) is not None:
        reservation.add(size)


def wide_text_surplus(body: bytes) -> int:
    """Bytes that the texts in a body may take beyond what is counted for any body.

    The widest character of a text sets how many bytes each has; UTF-8 is kept beside it. Which
    text it is in, nobody knows before they are read.
    """
    if any(lead in body for lead in _WIDEST):
        return len(body) * 4
    return 0 if body.isascii() and rb"\u" not in body else len(body) * 2
