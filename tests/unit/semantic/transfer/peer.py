"""A peer that answers as a test says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from proxy.ground.errors import UpstreamBroken
from proxy.semantic.fields import TYPE
from proxy.semantic.transfer.fields import declared_fields
from proxy.semantic.transfer.original import Described

MAPPING = {
    "properties": {
        "body": {"type": TYPE, "inference_id": "e"},
        "title": {"type": "text", "copy_to": "body"},
        "memo": {"type": "text", "fields": {"meaning": {"type": TYPE, "inference_id": "e"}}},
        "deep": {"properties": {"er": {"type": TYPE, "inference_id": "e"}}},
    }
}
DESCRIBED = Described(
    name="old",
    uuid="Uu-1",
    mapping=MAPPING,
    settings={"uuid": "Uu-1", "number_of_shards": "2", "blocks.write": "true"},
    aliases={},
    fields=tuple(declared_fields(MAPPING)),
    takes_no_writes=True,
)


@dataclass(frozen=True, slots=True)
class Said:
    """An answer; None stands for one that cannot be had."""

    document: Any
    status: int = 200

    @property
    def body(self) -> bytes:
        return orjson.dumps(self.document)


@dataclass(frozen=True, slots=True)
class Asked:
    method: str
    target: str
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        return [orjson.loads(line) for line in self.body.splitlines()]


class StubPeer:
    """Answers by a function, or with one answer after the other."""

    name = "http://peer"

    def __init__(self, *answers: Any, by: Callable[[Asked], Any] | None = None) -> None:
        self.asked: list[Asked] = []
        self._answers = list(answers)
        self._by = by

    async def ask(self, method: str, target: str, body: bytes = b"") -> Said:
        asked = Asked(method, target, body)
        self.asked.append(asked)
        answer = self._answers.pop(0) if self._by is None else self._by(asked)
        if answer is None:
            raise UpstreamBroken("peer answered with too many bytes")
        return answer if isinstance(answer, Said) else Said(answer)
