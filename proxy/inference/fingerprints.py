"""What tells the model of an endpoint from others: its vector of a text that never changes."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, isfinite
from typing import Final

MOST_NUMBERS: Final = 256  # of a vector: no two models agree in as many


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What a server says of the model that it serves, if it does."""

    model_id: str | None = None
    model_sha: str | None = None

    def __str__(self) -> str:
        """For errors and the log."""
        if self.model_id is None:
            return "a model without a name"
        revision = "" if self.model_sha is None else f" of revision [{self.model_sha}]"
        return f"[{self.model_id}]{revision}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """A model as it was when an endpoint began to be used."""

    vector: str  # the first numbers of the text's vector, of length one, in half precision, base64
    dimensions: int
    model: Model = Model()
    alarms: int = 0  # how often a process has found another model in its place

    @classmethod
    def of(cls, vector: Sequence[float], model: Model) -> Fingerprint:
        numbers = _unit(list(vector)[:MOST_NUMBERS])
        packed = struct.pack(f"<{len(numbers)}e", *numbers)
        text = base64.b64encode(packed).decode()
        return cls(vector=text, dimensions=len(vector), model=model)

    def distance(self, vector: Sequence[float]) -> float:
        """How far a vector of the same text is, by its cosine: 0 for one model, 1 for two."""
        if self.dimensions != len(vector):
            return 1.0
        packed = base64.b64decode(self.vector)
        known = _unit(struct.unpack(f"<{len(packed) // 2}e", packed))
        found = _unit(list(vector)[:MOST_NUMBERS])
        return max(0.0, 1.0 - sum(a * b for a, b in zip(known, found, strict=True)))


def _unit(numbers: Sequence[float]) -> list[float]:
    """The vector of length one in the same direction; one of zeros stays as it is."""
    length = hypot(*numbers)
    if not length or not isfinite(length):
        return [0.0] * len(numbers)
    return [number / length for number in numbers]
