"""A provider whose vectors and scores can be worked out by hand."""

from __future__ import annotations

import math
import re
from typing import Any

from tests.support.stubs import Call, Reply, json_reply


def tokens(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def vector(text: str, dimensions: int = 16) -> list[float]:
    """Counts of words, each in the slot that its letters add up to, of length 1."""
    counts = [0.0] * dimensions
    for token in tokens(text):
        counts[sum(map(ord, token)) % dimensions] += 1
    if not any(counts):
        counts[0] = 1.0
    length = math.sqrt(sum(count * count for count in counts))
    return [count / length for count in counts]


def weights(text: str) -> dict[str, float]:
    """Counts of words, by what they are worth: an eighth for each letter; `v1.2` is one, too.

    Elasticsearch keeps such numbers as they are, of others nine bits.
    """
    found: dict[str, float] = {}
    for word in re.findall(r"[a-z0-9.]*[a-z0-9]", text.lower()):
        found[word] = found.get(word, 0.0) + len(word) / 8
    return found


def score(query: str, text: str) -> float:
    """The number that a text is, or else the share of the query's words in it."""
    try:
        return float(text)
    except ValueError:
        wanted = set(tokens(query))
        return len(wanted & set(tokens(text))) / len(wanted)


def meaning_reply(call: Call) -> Reply:
    """`/embed`, `/sparse` and `/rerank`; a text with BOOM in it is refused."""
    body: Any = call.json
    texts = body.get("texts") or body.get("inputs")
    if any("BOOM" in text for text in texts):
        return json_reply({"error": "boom"}, 400)
    if call.path == "/embed":
        return json_reply([vector(text) for text in texts])
    if call.path == "/sparse":
        return json_reply([weights(text) for text in texts])
    scored = [{"index": n, "score": score(body["query"], text)} for n, text in enumerate(texts)]
    return json_reply(sorted(scored, key=lambda one: -one["score"]))
