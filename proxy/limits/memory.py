"""The memory that the bodies and replies of requests under way take, as estimated."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Final

from proxy.ground.errors import MemoryShort

# Bytes of memory, as measured:
PER_BODY_BYTE: Final = 3  # the body or the provider's request made of it, its texts, buffers
PER_REPLY_BYTE: Final = 4  # numbers as Python's floats, and as the text of the answer
PER_FETCHED_BYTE: Final = 8  # an answer of the upstream's, and the tree made of it
PER_HEADER: Final = 400  # a header, besides its bytes, of which there are several copies
PER_VALUE: Final = 64  # a value of a body that has been read

_PIECE: Final = 1024 * 1024  # bytes of a body
# One caller may hold all of the limit but this part of it, which leaves room for others. A larger
# part would refuse the largest body that the default limits allow.
_FOR_OTHERS: Final = 16

# How a character beyond U+FFFF begins, in UTF-8 or escaped in JSON.
_WIDEST: Final = (b"\xf0", b"\xf1", b"\xf2", b"\xf3", b"\xf4", rb"\ud", rb"\uD")


class MemoryBudget:
    """The memory that requests may take together; one per process, used in its event loop only."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.share = limit - limit // _FOR_OTHERS  # of one caller
        self.reserved = 0  # bytes
        self.held: dict[Hashable, int] = {}  # bytes of each caller

    def request(self) -> AbstractContextManager[None]:
        """The context of one request: what `reserve` takes within it is given back at its end."""
        return _Reservation(self)


class _Reservation:
    """The memory that one request has taken; the context in which it takes it.

    It counts in the budget itself, as every request takes memory several times.
    """

    __slots__ = ("_budget", "_caller", "_token", "size")

    def __init__(self, budget: MemoryBudget, caller: Hashable = None) -> None:
        self._budget = budget
        self.size = 0  # bytes
        self._caller = caller  # None for one who is not known yet

    def __enter__(self) -> None:
        self._token = _current.set(self)

    def __exit__(self, *_: object) -> None:
        self.force(-self.size)
        _current.reset(self._token)

    def add(self, size: int) -> None:
        """Count `size` bytes more. Raises: MemoryShort if the caller must not have them."""
        budget, caller = self._budget, self._caller
        if (wanted := budget.reserved + size) > budget.limit:
            raise MemoryShort(wanted, budget.limit)
        if caller is not None:
            own = budget.held.get(caller, 0) + size
            if own > budget.share:
                raise MemoryShort(own, budget.share, whose="<http_requests of one caller>")
            budget.held[caller] = own
        budget.reserved = wanted
        self.size += size

    def force(self, size: int) -> None:
        """Count `size` bytes more, or less, whatever the limit."""
        budget, caller = self._budget, self._caller
        budget.reserved += size
        self.size += size
        if caller is None:
            return
        if (own := budget.held.get(caller, 0) + size) > 0:
            budget.held[caller] = own
        else:
            budget.held.pop(caller, None)

    def part(self) -> AbstractContextManager[None]:
        """The context of a part of the request, which has a reservation of its own."""
        return _Reservation(self._budget, self._caller)

    def apart(self) -> AbstractContextManager[None]:
        """The context of what several requests share."""
        return _Reservation(self._budget)

    def belong_to(self, caller: Hashable) -> None:
        size = self.size
        if size:
            self.force(-size)
        self._caller = caller
        if size:
            self.force(size)


# That of the request under way. A context variable, because bodies and replies are read by
# functions that know neither the request nor the budget.
_current: ContextVar[_Reservation | None] = ContextVar("reservation", default=None)


def reserve(size: int) -> None:
    """Take `size` bytes for the request under way; nothing is counted outside a request.

    Raises: MemoryShort.
    """
    if size and (reservation := _current.get()) is not None:
        reservation.add(size)


def passing() -> AbstractContextManager[None]:
    """What the request under way takes within this is given back at its end, as nothing is kept."""
    outer = _current.get()
    return nullcontext() if outer is None else outer.part()


def apart() -> AbstractContextManager[None]:
    """What is taken within this is nobody's alone, and given back at its end."""
    outer = _current.get()
    return nullcontext() if outer is None else outer.apart()


def count_for(caller: Hashable) -> None:
    """What the request under way takes is the caller's, who may have a share of the limit."""
    if (reservation := _current.get()) is not None:
        reservation.belong_to(caller)


def hold_at_least(size: int) -> None:
    """The request under way has an answer of `size` bytes. Raises: MemoryShort.

    What was taken for making it stays taken: Python keeps much of such memory for itself.
    """
    if (reservation := _current.get()) is not None and size > reservation.size:
        reservation.add(size - reservation.size)


def hold_only(size: int) -> None:
    """The request under way has failed: `size` bytes, those of the error, are all that it holds."""
    if (reservation := _current.get()) is not None:
        reservation.force(size - reservation.size)


def wide_text_surplus(body: bytes) -> int:
    """Bytes that the texts in a body may take beyond PER_BODY_BYTE.

    Python stores each character of a text in as many bytes as the widest one needs, and its UTF-8
    beside it. Which text has the wide character is not known before the body is read.
    """
    if b"\0" in body[:4]:  # UTF-16 or UTF-32
        return len(body) * 4
    if len(body) <= _PIECE and body.isascii() and rb"\u" not in body:  # as most are
        return 0
    surplus = 0
    for start in range(0, len(body), _PIECE):  # so that other threads can run meanwhile
        piece = body[start : start + _PIECE + 1]  # an escape may begin at its end
        if piece.isascii() and rb"\u" not in piece:
            continue
        if any(lead in piece for lead in _WIDEST):
            return len(body) * 4
        surplus = len(body) * 2
    return surplus
