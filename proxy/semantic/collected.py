"""The items of a bulk's answer, kept small until the last one is there."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final

from proxy.xcontent.writing import dump_json, dump_light

_KEPT: Final = 1024 * 1024  # bytes that are kept as they are
_BLOCK: Final = 256 * 1024  # bytes of what is packed
_LEVEL: Final = 1


class CollectedItems:
    """Items of an answer, as the JSON of a list in blocks."""

    def __init__(self) -> None:
        self.count = 0
        self.has_errors = False
        self._packed: list[bytes] = []
        self._open: deque[bytes] = deque()
        self._size = 0

    def add(self, items: Sequence[dict[str, Any]]) -> None:
        """Add items at the end."""
        if not items:
            return
        is_light = True
        for item in items:
            for answer in item.values():
                if "error" in answer:
                    self.has_errors, is_light = True, False
                elif "get" in answer:  # with a document
                    is_light = False
        self._keep((dump_light if is_light else dump_json)(items)[1:-1], len(items))

    def add_written(self, items: bytes, count: int) -> None:
        """Add so many items at the end, none with an error, as JSON with commas between them."""
        self._keep(items, count)

    def _keep(self, items: bytes, count: int) -> None:
        if self._size > _KEPT:  # not before more come: the last ones need not be packed
            self._pack()
        self._open.append(items)
        self._size += len(items)
        self.count += count

    def _pack(self) -> None:
        """Pack the first ones of those that are not."""
        block, size = [], 0
        while self._open and size < _BLOCK:
            block.append(self._open.popleft())
            size += len(block[-1])
        self._packed.append(zlib.compress(b",".join(block), _LEVEL))
        self._size -= size

    def rendered(self, took: int) -> Iterator[bytes]:
        """The whole answer, in pieces."""
        errors = b"true" if self.has_errors else b"false"
        yield b'{"errors":%b,"took":%d,"items":[' % (errors, took)
        comma = b""
        for block in self._packed:
            yield comma + zlib.decompress(block)
            comma = b","
        if self._open:
            yield comma + b",".join(self._open)
        yield b"]}"

    @property
    def is_large(self) -> bool:
        """Whether it should be sent piece by piece."""
        return bool(self._packed)
