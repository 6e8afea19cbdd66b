"""Semantic fields as values: what was declared, of which model, and filled from where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from proxy.inference.chunking import ChunkingSettings, parse_chunking
from proxy.inference.endpoints import SERVICE, InferenceEndpoint, TaskType

TYPE: Final = "semantic_text"
_DEFAULT_SIMILARITY: Final = "cosine"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """What vectors must have in common to be compared. Source: MinimalServiceSettings."""

    service: str | None = SERVICE  # None where a mapping does not name it
    task_type: str = TaskType.TEXT_EMBEDDING.value
    dimensions: int
    similarity: str
    element_type: str = "float"

    def rendered(self) -> dict[str, Any]:
        """As mappings show them."""
        named = {} if self.service is None else {"service": self.service}
        return {
            **named,
            "task_type": self.task_type,
            "dimensions": self.dimensions,
            "similarity": self.similarity,
            "element_type": self.element_type,
        }

    @property
    def shown(self) -> str:
        """As error texts show them."""
        return (
            f"{shown_model(self.service, self.task_type)}, dimensions={self.dimensions}, "
            f"similarity={self.similarity}, element_type={self.element_type}"
        )

    def fits(self, other: ModelSettings) -> bool:
        """Whether vectors of both can be compared. Source: MinimalServiceSettings.canMergeWith."""
        return (self.task_type, self.dimensions, self.similarity, self.element_type) == (
            other.task_type,
            other.dimensions,
            other.similarity,
            other.element_type,
        )


def shown_model(service: str | None, task_type: str) -> str:
    """What error texts show of a model whatever it makes."""
    return f"service={service or 'null'}, task_type={task_type}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticField:
    """A field of type `semantic_text` in one index.

    `sources` are the fields whose values it embeds, sorted: itself, what is copied to it, and for a
    multi-field its parent alone. `definition` is what the user declared, the `inference_id` filled
    in. Source: SemanticTextFieldMapper, FieldTypeLookup.sourcePaths.
    """

    path: str
    definition: Mapping[str, Any]
    number: int  # of the definition
    model: ModelSettings | None  # None while the endpoint was never known
    seen: bool  # whether a document has brought vectors
    sources: tuple[str, ...]
    aliases: tuple[str, ...] = ()  # fields of type `alias` that stand for it

    @property
    def inference_id(self) -> str:
        """The endpoint that embeds documents."""
        return str(self.definition["inference_id"])

    @property
    def search_inference_id(self) -> str:
        """The endpoint that embeds queries."""
        return str(self.definition.get("search_inference_id") or self.inference_id)

    @property
    def chunking(self) -> ChunkingSettings | None:
        """How texts are cut; None leaves it to the endpoint."""
        settings = self.definition.get("chunking_settings")
        return parse_chunking(settings) if settings else None


def model_settings_of(endpoint: InferenceEndpoint) -> ModelSettings | None:
    """What the vectors of an endpoint have in common; None where its task makes no vectors."""
    settings = endpoint.service_settings
    if endpoint.task_type is not TaskType.TEXT_EMBEDDING or settings.dimensions is None:
        return None
    return ModelSettings(
        dimensions=settings.dimensions, similarity=settings.similarity or _DEFAULT_SIMILARITY
    )


def read_model_settings(values: Mapping[str, Any]) -> ModelSettings | None:
    """Those that `rendered` wrote; None for anything else."""
    match values:
        case {
            "task_type": TaskType.TEXT_EMBEDDING.value as task,
            "dimensions": int(dimensions),
            "similarity": str(similarity),
            "element_type": str(element),
        }:
            return ModelSettings(
                service=values.get("service"),
                task_type=task,
                dimensions=dimensions,
                similarity=similarity,
                element_type=element,
            )
    return None


Fields = Mapping[str, SemanticField]  # by path
