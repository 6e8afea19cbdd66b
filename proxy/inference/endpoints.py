"""Inference endpoints as values: task types, services and settings.

Source: HuggingFaceService and its settings classes, 8.19 to 9.4.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from proxy.inference.chunking import ChunkingSettings
from proxy.inference.fingerprints import Fingerprint

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


STREAMING_TASKS: Final = (TaskType.COMPLETION, TaskType.CHAT_COMPLETION)
SERVICES: Final = {
    SERVICE: tuple(task for task in TaskType if task is not TaskType.ANY),
    ELSER_SERVICE: (TaskType.SPARSE_EMBEDDING,),
}


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
    """How documents are reranked; the other tasks have no settings."""

    top_n: int | None = None
    return_documents: bool | None = None

    def merged(self, other: TaskSettings) -> TaskSettings:
        """These settings, with what `other` sets in their place."""
        changes = {name: value for name, value in asdict(other).items() if value is not None}
        return replace(self, **changes)


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
    # Of its stored record, another after each write; None for what is not stored like this. What is
    # remembered of an endpoint is remembered of its revision.
    revision: str | None = field(default=None, repr=False, compare=False)
    fingerprint: Fingerprint | None = None  # of its model, where that is guarded

    @property
    def streams(self) -> bool:
        """Whether the task can be streamed."""
        return self.task_type in STREAMING_TASKS

    def with_service_settings(self, **changes: Any) -> InferenceEndpoint:
        """The endpoint with some service settings replaced."""
        return replace(self, service_settings=replace(self.service_settings, **changes))

    def asked_anew(self) -> InferenceEndpoint:
        """The endpoint as one whose provider is always asked, whatever is remembered of it."""
        return replace(self, revision=None)
