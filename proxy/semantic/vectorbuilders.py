"""A text in the place of a query's vector, as `query_vector_builder` has it, or of its tokens.

Source: TextEmbeddingQueryVectorBuilder, KnnVectorQueryBuilder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proxy.ground.errors import IllegalArgument, XContentParseFailed


@dataclass(frozen=True, slots=True)
class Build:
    """A text, and the endpoint that makes a vector of it; None where the field says which."""

    model_id: str | None
    text: str


def build_of(knn: Mapping[str, Any]) -> Build | None:
    """What builds the vector of a `knn`; None where nothing does, or something not of ours.

    Raises: ProxyError for what cannot be built.
    """
    builder = knn.get("query_vector_builder")
    if not isinstance(builder, Mapping):
        return None
    name, body = next(iter(builder.items()), ("", None))
    names = _NAMES.get(name)
    if names is None or not isinstance(body, Mapping):
        return None
    if "query_vector" in knn:
        raise IllegalArgument(
            "only one of [query_vector] and [query_vector_builder] must be provided"
        )
    of_model, of_text = names
    text, model = body.get(of_text), body.get(of_model)
    if not isinstance(text, str):
        raise XContentParseFailed(f"[{name}] failed to parse: Required [{of_text}]")
    if model is None and name == "embedding":
        raise IllegalArgument("[inference_id] must be specified.")
    return Build(None if model is None else str(model), text)


def build_of_tokens(body: Mapping[str, Any]) -> Build | None:
    """What builds the weights of a `sparse_vector`; None where nothing does, or wrongly so.

    Source: SparseVectorQueryBuilder.
    """
    text, model = body.get("query"), body.get("inference_id")
    if not isinstance(text, str) or not isinstance(model, str | None) or "query_vector" in body:
        return None
    return Build(model, text)


def has_tokens(body: Mapping[str, Any]) -> bool:
    """Whether a `sparse_vector` says itself which tokens it looks for."""
    return "query_vector" in body and body.keys().isdisjoint(("query", "inference_id"))


def options_of_tokens(body: Mapping[str, Any]) -> dict[str, Any]:
    """The rest of a `sparse_vector`; what is unknown in it the upstream refuses."""
    return {name: value for name, value in body.items() if name not in _OF_TOKENS}


_OF_TOKENS = ("field", "query_vector", "query", "inference_id", "boost", "_name")
# The keys of the endpoint and of the text, by the name of the builder.
_NAMES = {
    "text_embedding": ("model_id", "model_text"),
    "embedding": ("inference_id", "input"),
}
