"""Trying an endpoint out before it is stored.

Source: ModelValidatorBuilder and the validators that it chooses.
"""

from __future__ import annotations

from typing import Final, Protocol

from proxy.ground.authorization import NOT_CONFIRMED
from proxy.ground.errors import Cause, CountMismatch, MemoryShort, ProxyError, StatusError
from proxy.inference.chat import ChatRequest
from proxy.inference.endpoints import InferenceEndpoint, TaskType
from proxy.inference.requests import InferenceRequest
from proxy.xcontent.values import Json

_INPUT: Final = "how big"
_QUERY: Final = "test query"
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
        result = await _call(inference, endpoint, timeout)
    except (MemoryShort, *NOT_CONFIRMED):
        raise  # says nothing about the endpoint
    except ProxyError as error:
        if is_embedding and isinstance(error, CountMismatch) and not error.results:
            raise _no_size("Embeddings list is empty") from None
        raise StatusError(400, _FAILED, cause=error) from None
    return _with_dimensions(endpoint, result) if is_embedding else endpoint


async def _call(inference: Inference, endpoint: InferenceEndpoint, timeout: float | None) -> Json:
    if endpoint.task_type is TaskType.CHAT_COMPLETION:
        request = ChatRequest(messages=[{"content": _INPUT, "role": "user"}])
        await inference.begin_chat(endpoint, request, timeout)
        return {}
    return await inference.infer(endpoint, InferenceRequest(input=[_INPUT], query=_QUERY), timeout)


def _with_dimensions(endpoint: InferenceEndpoint, result: Json) -> InferenceEndpoint:
    """The endpoint with the size of the vector that came, whatever was configured."""
    vector = result["text_embedding"][0]["embedding"]
    if not vector:
        raise _no_size("The embedding is empty")
    similarity = endpoint.service_settings.similarity or "cosine"
    return endpoint.with_service_settings(dimensions=len(vector), similarity=similarity)


def _no_size(reason: str) -> StatusError:
    cause = Cause("illegal_state_exception", reason)
    return StatusError(400, "Could not determine embedding size", cause=cause)
