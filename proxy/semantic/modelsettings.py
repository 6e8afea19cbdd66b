"""What the embeddings of a model have in common, and what follows from it for fields with them.

There are two kinds: vectors of a fixed length, and weights of tokens, of which texts have few. All
that differs between fields of the two is here. Source: MinimalServiceSettings,
SemanticTextFieldMapper, SemanticTextHighlighter, and the `merge` of both kinds of results.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from proxy.inference.endpoints import SERVICE, InferenceEndpoint, TaskType
from proxy.inference.results import WrittenEmbedding
from proxy.semantic.similarity import Embedding, score, weighted_score
from proxy.semantic.vectorsearch import nearest, weighted
from proxy.xcontent.numbers import Numbers
from proxy.xcontent.weights import Weights

_DEFAULT_SIMILARITY: Final = "cosine"
_IN_BITS_FROM: Final = 64  # dimensions from which Elasticsearch quantises to bits
_BBQ: Final = {
    "type": "bbq_hnsw",
    "m": 16,
    "ef_construction": 100,
    "rescore_vector": {"oversample": 3},
}
_PRUNED: Final = {
    "prune": True,
    "pruning_config": {"tokens_freq_ratio_threshold": 5.0, "tokens_weight_threshold": 0.4},
}
_TOKENS: Final = 512  # that models such as SPLADE find in a chunk, if it is a rich one
# What endpoints make of a query, as Elasticsearch names it.
RESULTS: Final[Mapping[TaskType, str]] = {
    TaskType.TEXT_EMBEDDING: "text_embedding_result",
    TaskType.SPARSE_EMBEDDING: "text_expansion_result",
    TaskType.RERANK: "rerank",
    TaskType.COMPLETION: "completion",
    TaskType.CHAT_COMPLETION: "chat_completion_results",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings(ABC):
    """What embeddings must have in common to be compared."""

    task: ClassVar[TaskType]  # that makes them
    mapped: ClassVar[str]  # the type of the fields that hold them

    service: str | None = SERVICE  # None where a mapping does not name it

    def rendered(self) -> dict[str, Any]:
        """As mappings show them."""
        named = {} if self.service is None else {"service": self.service}
        return {**named, "task_type": self.task.value, **self.details()}

    @property
    def shown(self) -> str:
        """As error texts show them."""
        found = {
            "service": self.service or "null",
            "task_type": self.task.value,
            **self.details(),
        }
        return ", ".join(f"{name}={value}" for name, value in found.items())

    def fits(self, other: ModelSettings) -> bool:
        """Whether both can be compared. Source: MinimalServiceSettings.canMergeWith."""
        return self.task is other.task and self.details() == other.details()

    def misfit(self, task: TaskType, made: Embedding) -> str | None:
        """What is wrong with what an endpoint has made of a query, as errors go on to say."""
        if task is self.task:
            return None
        return f"to be of type [{RESULTS[self.task]}], got [{RESULTS[task]}]."

    @property
    @abstractmethod
    def size(self) -> int:
        """How many numbers an embedding has, about."""

    @abstractmethod
    def details(self) -> dict[str, Any]:
        """The settings that only this kind has."""

    @abstractmethod
    def default_options(self) -> dict[str, Any] | None:
        """How `semantic_text` indexes them; None leaves it to the type of the field."""

    @abstractmethod
    def mapping(self, options: Mapping[str, Any] | None, *, in_bits: bool) -> dict[str, Any]:
        """The mapping of a field for them; `options` are the user's."""

    @abstractmethod
    def query(self, field: str, sought: Any, k: int, filters: Sequence[Any]) -> dict[str, Any]:
        """A search for the chunks nearest to an embedding, of documents that meet the filters."""

    @abstractmethod
    def score(self, sought: Embedding, held: Any) -> float:
        """How near a chunk is to what is sought: the larger, the nearer."""

    @abstractmethod
    def merged(self, embeddings: Sequence[Any]) -> WrittenEmbedding:
        """One embedding for a chunk of several texts, of those that such a model gave to each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseModel(ModelSettings):
    """One that makes vectors of a fixed length."""

    task: ClassVar = TaskType.TEXT_EMBEDDING
    mapped: ClassVar = "dense_vector"

    dimensions: int
    similarity: str
    element_type: str = "float"

    def misfit(self, task: TaskType, made: Embedding) -> str | None:
        if task is self.task and len(made) != self.dimensions:
            return f"with {self.dimensions} dimensions, got {len(made)} dimensions."
        return ModelSettings.misfit(self, task, made)

    @property
    def size(self) -> int:
        return self.dimensions

    def details(self) -> dict[str, Any]:
        return {
            "dimensions": self.dimensions,
            "similarity": self.similarity,
            "element_type": self.element_type,
        }

    def default_options(self) -> dict[str, Any] | None:
        if self.element_type != "float" or self.dimensions < _IN_BITS_FROM:
            return None
        return dict(_BBQ)

    def mapping(self, options: Mapping[str, Any] | None, *, in_bits: bool) -> dict[str, Any]:
        vector = {
            "type": self.mapped,
            "dims": self.dimensions,
            "similarity": self.similarity,
            "element_type": self.element_type,
            "index": True,
        }
        if options is None and in_bits:
            options = self.default_options()
        return vector if options is None else {**vector, "index_options": options}

    def query(self, field: str, sought: Any, k: int, filters: Sequence[Any]) -> dict[str, Any]:
        return nearest(field, sought, k, filters)

    def score(self, sought: Embedding, held: Any) -> float:
        if isinstance(sought, Mapping) or held is None or len(held) != len(sought):
            return 0.0
        return score(self.similarity, sought, held)

    def merged(self, embeddings: Sequence[Any]) -> WrittenEmbedding:
        columns = zip(*embeddings, strict=True)
        return Numbers.of([sum(column) / len(embeddings) for column in columns])


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseModel(ModelSettings):
    """One that gives weights to tokens, as SPLADE and ELSER do."""

    task: ClassVar = TaskType.SPARSE_EMBEDDING
    mapped: ClassVar = "sparse_vector"

    @property
    def size(self) -> int:
        return _TOKENS

    def details(self) -> dict[str, Any]:
        return {}

    def default_options(self) -> dict[str, Any] | None:
        return dict(_PRUNED)

    def mapping(self, options: Mapping[str, Any] | None, *, in_bits: bool) -> dict[str, Any]:
        # Its defaults are those of `semantic_text`, in every release that has any.
        vector = {"type": self.mapped}
        return vector if options is None else {**vector, "index_options": options}

    def query(self, field: str, sought: Any, k: int, filters: Sequence[Any]) -> dict[str, Any]:
        return weighted(field, sought)

    def score(self, sought: Embedding, held: Any) -> float:
        if not isinstance(sought, Mapping) or not isinstance(held, Mapping):
            return 0.0
        return weighted_score(sought, held)

    def merged(self, embeddings: Sequence[Any]) -> WrittenEmbedding:
        most: dict[str, float] = {}
        for one in embeddings:
            for token, weight in one.to_dict().items():
                most[token] = max(weight, most.get(token, weight))
        return Weights.of(most)


# The kinds by the type of their fields, which is what index options are called, too.
KINDS: Final[Mapping[str, type[ModelSettings]]] = {
    one.mapped: one for one in (DenseModel, SparseModel)
}
TASKS: Final = frozenset(kind.task for kind in KINDS.values())


def model_settings_of(endpoint: InferenceEndpoint) -> ModelSettings | None:
    """What the embeddings of an endpoint have in common; None where it is not known, or has none.

    It is not known of an endpoint whose vectors nobody has seen yet.
    """
    settings = endpoint.service_settings
    if endpoint.task_type is TaskType.SPARSE_EMBEDDING:
        return SparseModel()
    if endpoint.task_type is not TaskType.TEXT_EMBEDDING or settings.dimensions is None:
        return None
    return DenseModel(
        dimensions=settings.dimensions, similarity=settings.similarity or _DEFAULT_SIMILARITY
    )


def read_model_settings(values: Mapping[str, Any]) -> ModelSettings | None:
    """Those that `rendered` wrote; None for anything else."""
    service = values.get("service")
    match values:
        case {
            "task_type": TaskType.TEXT_EMBEDDING.value,
            "dimensions": int(dimensions),
            "similarity": str(similarity),
            "element_type": str(element),
        }:
            return DenseModel(
                service=service, dimensions=dimensions, similarity=similarity, element_type=element
            )
        case {"task_type": TaskType.SPARSE_EMBEDDING.value, **others} if others.keys() <= {
            "service"
        }:
            return SparseModel(service=service)
    return None
