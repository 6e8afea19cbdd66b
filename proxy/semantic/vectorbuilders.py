"""`query_vector_builder`: a text in the place of a query's vector.

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


# The keys of the endpoint and of the text, by the name of the builder.
_NAMES = {
    "text_embedding": ("model_id", "model_text"),
    "embedding": ("inference_id", "input"),
}
