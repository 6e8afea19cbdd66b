"""Replies turned into results: what that takes is counted, and done beside the event loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, TypeVar

from proxy.huggingface.replyjson import MAX_VALUES
from proxy.limits.memory import PER_REPLY_BYTE, reserve
from proxy.limits.threads import offload

T = TypeVar("T")
_QUICKLY_READ: Final = 256 * 1024  # bytes of a reply that is read fast, vector by vector
_QUICKLY_READ_BY_TOKEN: Final = 8192  # bytes
_PIECE: Final = 65536  # bytes
# Bytes of memory, as measured:
PER_ARRAY: Final = 128  # of numbers, besides these
PER_NUMBER: Final = 20  # as long as its vector is read; long ones have paid for it
PER_NODE: Final = 512  # a value in a tree, and in the result made of it


@dataclass(frozen=True, slots=True)
class Reader(Generic[T]):
    """How a reply is read: by token, or, if it is flawless, fast. Both raise ProxyError."""

    by_token: Callable[[bytes], T]
    flawless: Callable[[bytes], T | None] | None = None

    async def read(self, data: bytes) -> T:
        """The result. Raises: ProxyError, MemoryShort."""
        if self.flawless is not None:
            # What has been reserved while it came pays for ordinary vectors, not for short ones,
            # or for `0,0,0`.
            size = await self._counted(data, _size_of_arrays)
            reserve(max(0, size - len(data) * (PER_REPLY_BYTE - 1)))
            result = await offload(len(data), _QUICKLY_READ, partial(self.flawless, data))
            if result is not None:
                return result
        values = await self._counted(data, _values_in)
        reserve(min(values, MAX_VALUES) * PER_NODE)
        return await offload(len(data), _QUICKLY_READ_BY_TOKEN, partial(self.by_token, data))

    async def _counted(self, data: bytes, count: Callable[[bytes], int]) -> int:
        """In pieces, so that a thread does not keep the interpreter for itself."""
        if len(data) <= _PIECE:
            return count(data)
        pieces = (data[start : start + _PIECE] for start in range(0, len(data), _PIECE))
        return await offload(len(data), _QUICKLY_READ, lambda: sum(map(count, pieces)))


def _size_of_arrays(piece: bytes) -> int:
    return piece.count(b"[") * PER_ARRAY + piece.count(b",") * PER_NUMBER


def _values_in(piece: bytes) -> int:
    """How many values a JSON text can hold; an array counts for three, as it is larger."""
    return 1 + piece.count(b",") + 3 * piece.count(b"[") + piece.count(b"{")
