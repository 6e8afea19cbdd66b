"""A provider of embeddings that fails on demand, by words in the texts that it gets."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final

from tests.support.stubs import Call, FaultyServer, Reply, json_reply

DIMENSIONS: Final = 16
# Words that make the provider answer otherwise.
FAULTS: Final = {
    "BOOM": json_reply({"error": "boom"}, 400),
    "LIMIT": json_reply({"error": "slow down"}, 429),
    "DOWN": json_reply({"error": "no"}, 500),
}


def vector_of(text: str) -> list[float]:
    """A vector that says how often each class of words occurs."""
    counts = [0.0] * DIMENSIONS
    for word in re.findall(r"\w+", text.lower()):
        counts[sum(map(ord, word)) % DIMENSIONS] += 1
    if not any(counts):
        counts[0] = 1.0
    length = math.sqrt(sum(count * count for count in counts))
    return [count / length for count in counts]


class Embedder(FaultyServer):
    """Embeds by `vector_of`, and remembers every text; `hold` may keep a call waiting."""

    def __init__(self) -> None:
        super().__init__(self._embed)
        self.texts: list[str] = []
        self.dimensions = DIMENSIONS
        self.on_call: Callable[[list[str]], None] = lambda texts: None

    def _embed(self, call: Call) -> Reply:
        texts = call.json["inputs"]
        texts = [texts] if isinstance(texts, str) else texts
        self.on_call(texts)
        for word, reply in FAULTS.items():
            if any(word in text for text in texts):
                return reply
        self.texts.extend(texts)
        return json_reply([vector_of(text)[: self.dimensions] for text in texts])
