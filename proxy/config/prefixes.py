"""What texts begin with, by inference id and kind of input: the value of one key."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

import orjson

_KINDS: Final = ("search", "ingest", "classification", "clustering")
RULE: Final = (
    "must map inference ids, or patterns such as `e5-*`, to texts by input type: "
    f"{', '.join(_KINDS)}"
)


class Prefixes:
    """Texts by input type, by inference id or pattern. No dataclass, as those are sections."""

    __slots__ = ("by_id",)

    def __init__(self, by_id: Mapping[str, Mapping[str, str]]) -> None:
        self.by_id = by_id

    @classmethod
    def parse(cls, value: Any) -> Prefixes:
        """From a file's mapping, or from JSON. Raises: ValueError for anything else."""
        if isinstance(value, str):
            value = orjson.loads(value or "{}")
        if not isinstance(value, dict):
            raise ValueError
        return cls({str(name): _texts(texts) for name, texts in value.items()})

    def of(self, inference_id: str) -> Mapping[str, str]:
        """The texts for an endpoint: of its own id, else of the first pattern that it matches."""
        found = self.by_id.get(inference_id)
        if found is not None:
            return found
        for pattern, texts in self.by_id.items():
            if fnmatchcase(inference_id, pattern):
                return texts
        return {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Prefixes) and self.by_id == other.by_id

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        return orjson.dumps(self.by_id).decode()


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(
        kind in _KINDS and isinstance(text, str) for kind, text in value.items()
    ):
        raise ValueError
    return value


NO_PREFIXES: Final = Prefixes({})
