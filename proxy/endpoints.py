"""Inference endpoints: task types, settings, and their stored form."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

SERVICE: Final = "hugging_face"
ELSER_SERVICE: Final = "hugging_face_elser"  # a second name that serves sparse_embedding only
DEFAULT_REQUESTS_PER_MINUTE: Final = 3000


class TaskType(StrEnum):
    """What an endpoint does; `ANY` stands for "no task type given" and is never stored."""

    TEXT_EMBEDDING = "text_embedding"
    SPARSE_EMBEDDING = "sparse_embedding"
    RERANK = "rerank"
    COMPLETION = "completion"
    CHAT_COMPLETION = "chat_completion"
    ANY = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """Where the provider is and how it may be used; which fields apply depends on the task."""

    url: str
    model_id: str | None = None
    similarity: str | None = None
    dimensions: int | None = None
    max_input_tokens: int | None = None
    requests_per_minute: int = DEFAULT_REQUESTS_PER_MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSettings:
    api_key: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSettings:
    """Rerank only."""

    top_n: int | None = None
    return_documents: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkingSettings:
    """How long texts are cut; sizes count words, `separators` are regular expressions."""

    strategy: str = "sentence"
    max_chunk_size: int | None = 250
    sentence_overlap: int | None = 1
    overlap: int | None = None
    separators: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceEndpoint:
    """One configured endpoint. The token is in it: never log it, never dump it whole."""

    inference_id: str
    task_type: TaskType
    service: str = SERVICE
    service_settings: ServiceSettings
    secret_settings: SecretSettings = field(repr=False)
    task_settings: TaskSettings = field(default_factory=TaskSettings)
    chunking_settings: ChunkingSettings | None = None

    def with_service_settings(self, **changes: Any) -> InferenceEndpoint:
        """The endpoint with some service settings replaced."""
        return replace(self, service_settings=replace(self.service_settings, **changes))


def dump_endpoint(endpoint: InferenceEndpoint) -> dict[str, Any]:
    """The stored form, token included: only ever written sealed."""
    return asdict(endpoint)


def load_endpoint(document: dict[str, Any]) -> InferenceEndpoint:
    """Read back what `dump_endpoint` wrote.

    Raises: KeyError, TypeError or ValueError when the document is something else.
    """
    chunking = document["chunking_settings"]
    if chunking is not None and chunking["separators"] is not None:
        chunking = {**chunking, "separators": tuple(chunking["separators"])}
    return InferenceEndpoint(
        inference_id=document["inference_id"],
        task_type=TaskType(document["task_type"]),
        service=document["service"],
        service_settings=ServiceSettings(**document["service_settings"]),
        secret_settings=SecretSettings(**document["secret_settings"]),
        task_settings=TaskSettings(**document["task_settings"]),
        chunking_settings=None if chunking is None else ChunkingSettings(**chunking),
    )
