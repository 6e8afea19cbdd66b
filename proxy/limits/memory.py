"""The memory that the bodies and replies of requests under way take, as estimated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from proxy.errors import MemoryShort

# Bytes of memory, as measured:
PER_BODY_BYTE: Final = 3  # the body or the provider's request made of it, its texts, buffers
PER_REPLY_BYTE: Final = 4  # numbers as Python's floats, and as the text of the answer
PER_VALUE: Final = 64  # a value of a body that has been read

_PIECE: Final = 1024 * 1024  # bytes of a body

# How a character beyond U+FFFF begins, in UTF-8 or escaped in JSON.
_WIDEST: Final = (b"\xf0", b"\xf1", b"\xf2", b"\xf3", b"\xf4", rb"\ud", rb"\uD")


class MemoryBudget:
    """The memory that requests may take together; one per process, used in its event loop only."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.reserved = 0  # bytes

    @contextmanager
    def request(self) -> Iterator[None]:
        """The context of one request: what `reserve` takes within it is given back at its end."""
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
    """The memory that one request has taken."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self.size = 0  # bytes

    def add(self, size: int) -> None:
        self._budget.take(size)
        self.size += size


# That of the request under way. A context variable, because bodies and replies are read by
# functions that know neither the request nor the budget.
_current: ContextVar[_Reservation | None] = ContextVar("reservation", default=None)


def reserve(size: int) -> None:
    """Take `size` bytes for the request under way; nothing is counted outside a request.

    Raises: MemoryShort.
    """
    if (reservation := _current.get()) is not None:
        reservation.add(size)


def wide_text_surplus(body: bytes) -> int:
    """Bytes that the texts in a body may take beyond PER_BODY_BYTE.

    Python stores each character of a text in as many bytes as the widest one needs, and its UTF-8
    beside it. Which text has the wide character is not known before the body is read.
    """
    if b"\0" in body[:4]:  # UTF-16 or UTF-32
        return len(body) * 4
    surplus = 0
    for start in range(0, len(body), _PIECE):  # so that other threads can run meanwhile
        piece = body[start : start + _PIECE + 1]  # an escape may begin at its end
        if any(lead in piece for lead in _WIDEST):
            return len(body) * 4
        if not piece.isascii() or rb"\u" in piece:
            surplus = len(body) * 2
    return surplus
