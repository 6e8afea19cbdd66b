"""Weights of tokens that are written as JSON once, and mostly only passed on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from proxy.xcontent.loading import load_json
from proxy.xcontent.writing import dump_light


class Weights:
    """The weights of a text's tokens as compact JSON, `{"sea":0.5}`; the sparse kin of Numbers."""

    __slots__ = ("_length", "json")

    def __init__(self, json: bytes, length: int) -> None:
        self.json = json
        self._length = length

    @classmethod
    def of(cls, tokens: Mapping[str, float]) -> Self:
        return cls(dump_light(dict(tokens)), len(tokens))

    def to_dict(self) -> dict[str, float]:
        tokens: dict[str, Any] = load_json(self.json)
        return tokens

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"Weights({self.json!r}, {self._length})"
