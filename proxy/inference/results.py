"""Results of the tasks, except for chats, and how Elasticsearch shows them.

Source: the *Results classes of x-pack-core 9.2.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from proxy.xcontent.numbers import Numbers, WrittenObject
from proxy.xcontent.values import Json
from proxy.xcontent.weights import Weights

# What a model makes of a text: a vector, or weights of tokens; as JSON, as most are only passed on.
WrittenEmbedding = Numbers | Weights
_WRITTEN_AT_ONCE: Final = 64 * 1024  # bytes of vectors; more are written with the answer


@dataclass(frozen=True, slots=True)
class SparseVector:
    """Weights by token."""

    tokens: dict[str, float]  # in the order received
    is_truncated: bool


@dataclass(frozen=True, slots=True)
class RankedDocument:
    """One input of a rerank request, with its score."""

    index: int  # of the input, from 0
    relevance_score: float
    text: str | None = None


def render_embeddings(vectors: Sequence[Numbers]) -> Json:
    """One vector of `dimensions` floats per input, in input order."""
    shown: Json = {"text_embedding": [{"embedding": vector} for vector in vectors]}
    written = [vector.json for vector in vectors]
    if not written or sum(map(len, written)) > _WRITTEN_AT_ONCE:
        return shown
    items = b'},{"embedding":'.join(written)
    return WrittenObject.of(shown, b'{"text_embedding":[{"embedding":%b}]}' % items)


def render_sparse(vectors: Sequence[SparseVector]) -> Json:
    """One map of token weights per input, in input order."""
    return {
        "sparse_embedding": [
            {"is_truncated": vector.is_truncated, "embedding": vector.tokens} for vector in vectors
        ]
    }


def render_rerank(documents: Sequence[RankedDocument]) -> Json:
    """The documents, best first; `text` only where the provider sent it."""
    return {"rerank": [_ranked(document) for document in documents]}


def _ranked(document: RankedDocument) -> Json:
    shown: Json = {"index": document.index, "relevance_score": document.relevance_score}
    if document.text is not None:
        shown["text"] = document.text
    return shown


def render_completion(results: Sequence[str]) -> Json:
    """One result per choice of the provider."""
    return {"completion": [{"result": result} for result in results]}


def render_completion_deltas(deltas: Sequence[str]) -> Json:
    """One event of a streamed completion."""
    return {"completion": [{"delta": delta} for delta in deltas]}
