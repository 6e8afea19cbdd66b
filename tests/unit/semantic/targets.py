"""Indices with semantic fields, for tests of what searches in them become."""

from __future__ import annotations

from typing import Any, Final

from proxy.semantic.fields import SemanticField
from proxy.semantic.modelsettings import DenseModel
from proxy.semantic.queries import Known, Rewriter
from proxy.semantic.registry import Target
from proxy.semantic.vectors import Embedded, Vectors, Wanted

# A hit with the chunk of a field `body`.
STORED: Final = {
    "_index": "a",
    "_id": "1",
    "_source": {
        "body": "near",
        "xinf": {
            "body": {"chunks": [{"field": "body", "start": 0, "end": 4, "embeddings": [1.0]}]}
        },
    },
}


def semantic_field(path: str = "body", endpoint: str = "e", **more: Any) -> SemanticField:
    """A field of vectors of three dimensions; of none with `model` None."""
    made: dict[str, Any] = {
        "path": path,
        "definition": {"inference_id": endpoint, **more.pop("definition", {})},
        "number": 1,
        "model": DenseModel(dimensions=3, similarity="cosine"),
        "seen": True,
        "sources": (path,),
    }
    return SemanticField(**{**made, **more})


def target(*fields: SemanticField, others: bool = False, **indices: Any) -> Target:
    """An index `a` with these fields, and further ones by name."""
    by_index = {"a": fields, **indices} if fields else indices
    return Target(
        exists=True,
        fields={name: {one.path: one for one in found} for name, found in by_index.items()},
        others=others,
    )


class Rewriting:
    """Rewrites with vectors that say what they are of: [1, 0, 0] for the first text, and so on."""

    def __init__(self, target: Target, types: Any = None) -> None:
        self.target = target
        self.types = types or {}
        self.wanted: list[tuple[str, str]] = []

    def rewriter(self, rewrite: Any) -> Rewriter:
        """One that knows what `rewrite` needs to know."""
        asking = Rewriter(self.target, None)
        rewrite(asking)
        self.wanted = [(one.inference_id, one.text) for one in asking.wanted]
        found = {one: Embedded(self.vector(n)) for n, one in enumerate(asking.wanted)}
        return Rewriter(self.target, Known(vectors=Vectors(found=found), types=self.types))

    def vector(self, number: int) -> list[float]:
        return [1.0 if number == n else 0.0 for n in range(3)]


def known(vectors: dict[tuple[str, str], Any]) -> Known:
    """What is known where these texts were embedded."""
    return Known(
        vectors=Vectors(
            found={
                Wanted(*key): value if isinstance(value, Embedded) else Embedded(value)
                for key, value in vectors.items()
            }
        )
    )
