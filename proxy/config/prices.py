"""Prices of tokens: which endpoint's, and how much.

A price is `ID=PRICE`, or `ID=INPUT/OUTPUT` where the tokens of answers have another one, for a
million tokens, in whatever currency. An id may hold `*`; the first that fits counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final

_PRICE: Final = re.compile(
    r"\s*([a-z0-9_.*-]+)\s*=\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)(?:/([0-9]{1,9}(?:\.[0-9]{1,9})?))?\s*"
)


@dataclass(frozen=True, slots=True)
class Price:
    """Of a million tokens."""

    input: float
    output: float


class Prices:
    """The prices of all endpoints. Raises: ValueError for a text that is no price."""

    def __init__(self, texts: Sequence[str] = ()) -> None:
        self._prices = [_parse(text) for text in texts]
        self.of = lru_cache(maxsize=1000)(self._of)

    def __bool__(self) -> bool:
        return bool(self._prices)

    def _of(self, inference_id: str) -> Price | None:
        """The price for an endpoint, if there is one."""
        for pattern, price in self._prices:
            if fnmatchcase(inference_id, pattern):
                return price
        return None


def _parse(text: str) -> tuple[str, Price]:
    if (found := _PRICE.fullmatch(text)) is None:
        raise ValueError(text)
    pattern, price, output = found.groups()
    return pattern, Price(float(price), float(price if output is None else output))


NO_PRICES: Final = Prices()
