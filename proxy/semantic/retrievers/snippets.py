"""The parts of a text that are reranked in its place: its best chunks by BM25 among themselves.

Source: MemoryIndexChunkScorer, ChunkScorerConfig; Lucene's BM25Similarity. Lucene keeps the length
of chunks of more than 40 words only roughly, so of nearly equal chunks it may take others.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from proxy.semantic.chunking.chunker import chunker_for
from proxy.semantic.chunking.offsets import Utf16Text
from proxy.semantic.retrievers.tree import Snippets

_K1: Final = 1.2
_B: Final = 0.75
# Words as Lucene's StandardTokenizer sees them; characters of some scripts stand for themselves.
_ALONE: Final = "\u3040-\u309f\u3400-\u9fff\uf900-\ufaff"
_TOKEN: Final = re.compile(rf"[{_ALONE}]|[^\W{_ALONE}]+(?:['\u2019.](?=\w)[^\W{_ALONE}]+)*")


def best_snippets(text: str, query: str, snippets: Snippets) -> list[str]:
    """The best chunks of a text for a query, best first; its first ones where no word matches."""
    units = Utf16Text(text)
    chunks = [units.cut(chunk) for chunk in chunker_for(snippets.chunking).chunks(text)]
    scores = _scores([_tokens(chunk) for chunk in chunks], _tokens(query))
    order = sorted((n for n, score in enumerate(scores) if score > 0), key=lambda n: -scores[n])
    return [chunks[n] for n in (order or range(len(chunks)))[: snippets.size]]


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text.lower())


def _scores(chunks: Sequence[Sequence[str]], query: Sequence[str]) -> list[float]:
    counts = [Counter(chunk) for chunk in chunks]
    average = sum(map(len, chunks)) / max(len(chunks), 1)
    scores = [0.0] * len(chunks)
    for term in query:
        having = sum(term in count for count in counts)
        if not having:
            continue
        idf = math.log(1 + (len(chunks) - having + 0.5) / (having + 0.5))
        for n, count in enumerate(counts):
            if often := count[term]:
                length = _K1 * (1 - _B + _B * len(chunks[n]) / average)
                scores[n] += idf * often / (often + length)
    return scores
