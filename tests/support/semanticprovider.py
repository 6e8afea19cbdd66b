"""A provider whose vectors can be worked out by hand: texts are bags of hashed words."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Final

from tests.support.meaning import weights
from tests.support.stubs import Call, Reply, json_reply

DIMENSIONS: Final = {"/embed": 16, "/embed8": 8, "/embed384": 384}
_WORD: Final = re.compile(r"[a-z0-9]+")


def semantic_reply(call: Call) -> Reply:
    """`/embed`, `/embed8`, `/embed384` and `/sparse` embed, `/rerank` ranks; BOOM is refused."""
    if "BOOM" in call.body.decode():
        return json_reply({"error": "boom"}, 400)
    if call.path == "/rerank":
        return json_reply(_ranked(call.json["query"], call.json["texts"]))
    if call.path == "/sparse":
        return json_reply([weights(text) for text in call.json["inputs"]])
    dimensions = DIMENSIONS.get(call.path)
    if dimensions is None:
        return json_reply({"error": f"no such path {call.path}"}, 404)
    return json_reply([embedded(text, dimensions) for text in call.json["inputs"]])


def embedded(text: str, dimensions: int) -> list[float]:
    """The vector of a text, of length one."""
    vector = [0.0] * dimensions
    for word in _words(text):
        vector[sum(map(ord, word)) % dimensions] += 1
    if not any(vector):
        vector[0] = 1.0
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector]


def _ranked(query: str, texts: Sequence[str]) -> list[Any]:
    scores = [_score(query, text) for text in texts]
    ranked = [{"index": index, "score": score} for index, score in enumerate(scores)]
    return sorted(ranked, key=lambda one: one["score"], reverse=True)


def _score(query: str, text: str) -> float:
    """The number that the text is, or how many of the query's words are in it."""
    try:
        return float(text)
    except ValueError:
        asked = set(_words(query))
        return len(asked & set(_words(text))) / len(asked) if asked else 0.0


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
