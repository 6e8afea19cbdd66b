"""Semantic fields as values: what was declared, of which model, and filled from where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from proxy.inference.chunking import ChunkingSettings, parse_chunking
from proxy.inference.endpoints import TaskType
from proxy.semantic.modelsettings import ModelSettings
from proxy.semantic.similarity import Embedding

TYPE: Final = "semantic_text"


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

    def misfit(self, task: TaskType, made: Embedding) -> str | None:
        """What keeps what an endpoint has made of a query from being compared with the field's."""
        problem = None if self.model is None else self.model.misfit(task, made)
        if problem is None:
            return None
        advice = (
            f"Has the configuration for inference endpoint [{self.inference_id}] changed?"
            if self.search_inference_id == self.inference_id
            else f"Is the search inference endpoint [{self.search_inference_id}] compatible with "
            f"the inference endpoint [{self.inference_id}]?"
        )
        return f"Field [{self.path}] expected query inference results {problem} {advice}"


Fields = Mapping[str, SemanticField]  # by path
