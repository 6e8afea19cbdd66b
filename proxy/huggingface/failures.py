"""What failed calls mean, in Elasticsearch's words, and which of them may be tried again.

Source: HuggingFaceResponseHandler, OpenAiResponseHandler, BaseResponseHandler,
HuggingFaceChatCompletionResponseHandler, ErrorResponse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from proxy.ground.errors import (
    Cause,
    ChatError,
    CountMismatch,
    ParsingFailed,
    ProxyError,
    StatusError,
)
from proxy.huggingface.calls import FailedCall, InvalidHost, Refusal
from proxy.huggingface.redaction import hide_token, shown_text
from proxy.huggingface.replyjson import load_error
from proxy.huggingface.retry import Failure
from proxy.inference.chat import status_name
from proxy.inference.endpoints import STREAMING_TASKS, InferenceEndpoint, TaskType
from proxy.inference.releases import Profile

# Statuses that callers see as they are. They see 400 for all others: 304 could not hold an error.
_PASSED_ON: Final = {*range(300, 304), 305, 307, *range(400, 418), 422, 423, 424, 429}
_OF_ONE_TEXT: Final = (400, 413, 422, 500)  # statuses with which a text may be refused
_REDUCE: Final = "Please reduce your prompt; or completion length."
_TOO_LARGE: Final = "Received a content too large status code"
_RATE_LIMIT: Final = "Received a rate limit status code"
_SERVER_ERROR: Final = "Received a server error status code"
_UNSUCCESSFUL: Final = "Received an unsuccessful status code"
# The beginning of the message, and whether the call may be tried again.
_COMMON: Final[dict[int, tuple[str, bool]]] = {
    401: ("Received an authentication error status code", False),
    413: (_TOO_LARGE, True),
}
_EMBEDDING_PREFIXES: Final = {
    **_COMMON,
    429: (_RATE_LIMIT, True),
    502: (_RATE_LIMIT, True),
    503: (_RATE_LIMIT, True),
}
_CHAT_PREFIXES: Final = {
    **_COMMON,
    400: ("Received a bad request status code", False),
    422: ("Received an input validation error response", False),
    429: (_RATE_LIMIT, False),
    500: (_SERVER_ERROR, True),
    503: ("Received a server busy error status code", True),
}
# A text is too long, in the words of text-embeddings-inference; OpenAI, vLLM; llama.cpp, Ollama;
# Together, SGLang, vLLM's engine; Hugging Face's own toolkit.
TOO_LONG: Final = re.compile(
    r"must have less than \d+ tokens"
    r"|(?:maximum|available|exceeds the) (?:context|input|sequence) (?:length|size)"
    r"|(?:input|prompt|text|sequence)s? (?:\(.{1,40}\) )?(?:is|are) too (?:long|large)"
    r"|(?:input|prompt|text|sequence)s? (?:length )?(?:\d+ )?exceeds? "
    r"|too many (?:input )?tokens"
    r"|longer than the (?:model's|maximum) (?:context|model|sequence) length"
    r"|size of tensor a \(\d+\) must match the size of tensor b"
    r"|expanded size of the tensor \(\d+\) must match the existing size",
    re.IGNORECASE,
)
_LIMIT_AND_LENGTH: Final = re.compile(
    r"less than (\d{1,9}) tokens\. Given: (\d{1,9})"
    r"|length is (\d{1,9}) tokens.{0,40}requested (\d{1,9}) tokens",
    re.IGNORECASE | re.DOTALL,
)
_MAX_SEARCHED: Final = 8192  # characters; servers say it in one sentence
_MARGIN: Final = 0.9  # as tokens are not spread evenly over a text


def failure(endpoint: InferenceEndpoint, outcome: FailedCall, profile: Profile) -> Failure:
    """What a failed call means for its caller."""
    if isinstance(outcome, Refusal):
        return _refused(endpoint, outcome, profile)
    if isinstance(outcome, InvalidHost):
        return Failure(StatusError(400, outcome.reason))
    return Failure(failed_to_send(endpoint, outcome.cause), outcome.may_pass)


def unreadable(endpoint: InferenceEndpoint, error: ProxyError) -> Failure:
    """What a reply means that cannot be read: the next one may be better."""
    return Failure(failed_to_send(endpoint, error), may_pass=True)


def may_be_of_one_text(error: ProxyError) -> bool:
    """Whether a failure may be due to one of the texts sent, so that others alone may succeed."""
    if error.advice is not None and error.advice.is_general:
        return False
    if isinstance(error, CountMismatch | ParsingFailed) or isinstance(error.cause, ProxyError):
        return True  # the reply could not be read
    return error.provider_status in _OF_ONE_TEXT


def _refused(endpoint: InferenceEndpoint, refusal: Refusal, profile: Profile) -> Failure:
    chats, status = endpoint.task_type in STREAMING_TASKS, refusal.status
    reply = load_error(refusal.body)
    text = error_text(endpoint, reply)
    prefix, may_pass = _prefix(chats, status, text)
    if chats and status == 404:
        prefix = profile.chat_not_found.format(url=endpoint.service_settings.url)
    reason = (
        f"{prefix} for request from inference entity id [{endpoint.inference_id}] status [{status}]"
    )
    if text:
        reason += f". Error message: [{shown_text(text, endpoint)}]"
    shown_status = status if status in _PASSED_ON else 400
    error: ProxyError
    if endpoint.task_type is TaskType.CHAT_COMPLETION:
        error = _chat_failure(shown_status, reason, reply, text, profile)
    else:
        error = StatusError(shown_status, reason)
    error.provider_status = status
    return Failure(error, may_pass, refusal.retry_after)


def _prefix(chats: bool, status: int, text: str | None) -> tuple[str, bool]:
    if 300 <= status < 400:
        return "Unhandled redirection", False
    if chats and status == 400 and text is not None and _REDUCE in text:
        return _TOO_LARGE, True
    prefixes = _CHAT_PREFIXES if chats else _EMBEDDING_PREFIXES
    return prefixes.get(status, (_SERVER_ERROR if status >= 500 else _UNSUCCESSFUL, False))


def _chat_failure(
    status: int, reason: str, reply: Any, text: str | None, profile: Profile
) -> ChatError:
    if text is None:
        return ChatError(status, status_name(status), reason, profile.chat_error_type)
    code: str | None = status_name(status)
    if isinstance(reply["error"], dict):
        number = reply["error"].get("http_status_code")
        code = str(number) if type(number) is int else None
    return ChatError(status, code, reason, "hugging_face_error")


def error_text(endpoint: InferenceEndpoint, reply: Any) -> str | None:
    """The provider's own text, as far as callers see it.

    It is `error`, or with chat models also `error.message`.
    """
    error = reply.get("error") if isinstance(reply, dict) else None
    if isinstance(error, str):
        return error
    if endpoint.task_type in STREAMING_TASKS and isinstance(error, dict):
        message = error.get("message")
        return message if isinstance(message, str) else None
    return None


def is_batch_too_large(refusal: Refusal) -> bool:
    """Whether a provider refused the number or the bytes of the inputs, not one of them.

    Text-embeddings-inference answers `batch size 33 > maximum allowed batch size 32` with 413, or
    422 from 1.9 on, and a body over its limit with 413 and a plain text.
    """
    reply = load_error(refusal.body)
    text = reply.get("error") if isinstance(reply, dict) else None
    if isinstance(text, str):
        return refusal.status in (413, 422) and "batch size" in text
    return refusal.status == 413


def fitting_share(refusal: Refusal) -> float | None:
    """How much of a text may be taken, if it was refused because it is too long; else None.

    A half, or what the numbers say that some servers give.
    """
    text = any_text(refusal)[:_MAX_SEARCHED]
    if refusal.status not in _OF_ONE_TEXT or not TOO_LONG.search(text):
        return None
    if (numbers := _LIMIT_AND_LENGTH.search(text)) is None:
        return 0.5
    limit, length = (int(number) for number in numbers.groups() if number)
    return min(_MARGIN * limit / length, _MARGIN) if 0 < limit <= length else 0.5


def any_text(refusal: Refusal) -> str:
    """What a refusal says, in any of the forms that are in use."""
    reply = load_error(refusal.body)
    if not isinstance(reply, dict):
        return reply if isinstance(reply, str) else refusal.body.decode(errors="replace")
    error = reply.get("error")
    inner = error if isinstance(error, dict) else {}
    texts = [error, inner.get("message"), *(reply.get(name) for name in ("message", "detail"))]
    return " ".join(part for text in texts for part in _parts(text))


def _parts(text: Any) -> Iterator[str]:
    """A text, or those of a list: FastAPI's `detail` is one of objects with a `msg`."""
    for part in text if isinstance(text, list) else [text]:
        said = part.get("msg") if isinstance(part, dict) else part
        if isinstance(said, str):
            yield said


def failed_to_send(endpoint: InferenceEndpoint, cause: ProxyError | Cause) -> ProxyError:
    """What callers see of a failure that is no refusal: only a ParsingFailed is not wrapped."""
    cause = hide_token(cause, endpoint)
    if isinstance(cause, ParsingFailed):
        return cause
    return StatusError(
        500,
        f"Failed to send Hugging Face {endpoint.task_type} request from inference entity id "
        f"[{endpoint.inference_id}]. Cause: {cause.reason}",
        cause=cause,
    )
