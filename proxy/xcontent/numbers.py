"""Numbers, and what is made of them, as they were written: most are only passed on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self, overload

import orjson


class WrittenNumber(float):
    """A number whose double would be written otherwise, or is another number."""

    __slots__ = ("json",)

    json: bytes

    def __new__(cls, text: str) -> Self:
        made = super().__new__(cls, text)
        made.json = text.encode()
        return made


class Numbers(Sequence[float]):
    """Floats as compact JSON, `[0.1,0.2]`: some eleven bytes each, where a list takes forty.

    No dataclass, as orjson would write its fields.
    """

    __slots__ = ("_length", "json")

    def __init__(self, json: bytes, length: int | None = None) -> None:
        """`json` is an array of `length` numbers, none of them an integer."""
        self.json = json
        self._length = length

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Numbers:
        text = orjson.dumps(list(map(float, numbers)))
        return cls(bytes(memoryview(text)), len(numbers))  # orjson's own takes ten times the room

    def to_list(self) -> list[float]:
        numbers: list[float] = orjson.loads(self.json)
        return numbers

    def __len__(self) -> int:
        if self._length is None:
            self._length = self.json.count(b",") + 1 if len(self.json) > len(b"[]") else 0
        return self._length

    def __iter__(self) -> Iterator[float]:
        return iter(self.to_list())

    @overload
    def __getitem__(self, index: int) -> float: ...

    @overload
    def __getitem__(self, index: slice) -> list[float]: ...

    def __getitem__(self, index: int | slice) -> float | list[float]:
        return self.to_list()[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Numbers) and self.json == other.json

    def __hash__(self) -> int:
        return hash(self.json)

    def __repr__(self) -> str:
        return f"Numbers({self.json!r}, {len(self)})"


class WrittenObject(dict[str, Any]):
    """An object whose compact JSON is at hand, for those who want it in that form."""

    __slots__ = ("json",)

    json: bytes

    @classmethod
    def of(cls, members: dict[str, Any], json: bytes) -> Self:
        made = cls(members)
        made.json = json
        return made
