"""Trying an endpoint out before it is stored.

Source: ModelValidatorBuilder and the validators that it chooses.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Final, Protocol

from proxy.ground.advice import WAKING_UP
from proxy.ground.authorization import NOT_CONFIRMED
from proxy.ground.errors import Cause, CountMismatch, MemoryShort, ProxyError, StatusError
from proxy.ground.scopes import Scope
from proxy.inference.chat import ChatRequest
from proxy.inference.endpoints import InferenceEndpoint, TaskType
from proxy.inference.requests import InferenceRequest
from proxy.xcontent.values import Json

# The calls under way are of an endpoint, or of settings, that may never be stored. A context
# variable, because a trial calls the same methods of a provider, far above what counts the calls.
is_trial: Final[ContextVar[bool]] = ContextVar("is_trial", default=False)
INPUT: Final = "how big"
QUERY: Final = "test query"
_FAILED: Final = (
    "Could not complete inference endpoint creation as validation call to service threw an "
    "exception."
)


class Inference(Protocol):
    """How an endpoint is called; see InferenceService."""

    async def infer(
        self, endpoint: InferenceEndpoint, request: InferenceRequest, timeout: float | None
    ) -> Json: ...

    async def begin_chat(
        self, endpoint: InferenceEndpoint, request: ChatRequest, timeout: float | None
    ) -> None: ...


async def try_out(
    inference: Inference, endpoint: InferenceEndpoint, timeout: float | None
) -> InferenceEndpoint:
    """Call the endpoint once; the endpoint, an embedding one with the size of its vectors.

    Raises: StatusError 400 when the call fails or its answer has no vector; MemoryShort;
    as `confirm`.
    """
    is_embedding = endpoint.task_type is TaskType.TEXT_EMBEDDING
    endpoint = endpoint.asked_anew()
    try:
        with Scope(is_trial, True):
            result = await _call(inference, endpoint, timeout)
    except (MemoryShort, *NOT_CONFIRMED):
        raise  # says nothing about the endpoint
    except ProxyError as error:
        if is_embedding and isinstance(error, CountMismatch) and not error.results:
            raise _no_size("Embeddings list is empty") from None
        raise StatusError(400, _FAILED, cause=error).advised(error.advice) from None
    return (
        with_vector(endpoint, result["text_embedding"][0]["embedding"])
        if is_embedding
        else endpoint
    )


async def _call(inference: Inference, endpoint: InferenceEndpoint, timeout: float | None) -> Json:
    if endpoint.task_type is TaskType.CHAT_COMPLETION:
        request = ChatRequest(messages=[{"content": INPUT, "role": "user"}])
        await inference.begin_chat(endpoint, request, timeout)
        return {}
    return await inference.infer(endpoint, InferenceRequest(input=[INPUT], query=QUERY), timeout)


def with_vector(endpoint: InferenceEndpoint, vector: Sequence[float]) -> InferenceEndpoint:
    """The endpoint with the size of the vector that came, whatever was configured.

    Raises: StatusError for a vector without numbers.
    """
    if not vector:
        raise _no_size("The embedding is empty")
    similarity = endpoint.service_settings.similarity or "cosine"
    return endpoint.with_service_settings(dimensions=len(vector), similarity=similarity)


def is_starting(error: ProxyError) -> bool:
    """Whether a trial failed because the provider was still starting."""
    return error.advice is not None and error.advice.state == WAKING_UP


def _no_size(reason: str) -> StatusError:
    cause = Cause("illegal_state_exception", reason)
    return StatusError(400, "Could not determine embedding size", cause=cause)
