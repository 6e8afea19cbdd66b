"""What to do about a provider's state, in a sentence or two that callers see beside the error.

No hint quotes what a provider says, and none holds an address but well-known ones of Hugging Face.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from proxy.ground.advice import TOO_LATE, Advice
from proxy.huggingface import shapes
from proxy.huggingface.calls import FailedCall, NoReply, Refusal
from proxy.huggingface.failures import error_text
from proxy.huggingface.replyjson import load_error
from proxy.huggingface.states import State, find_state, is_hosted, speaks_tls_only, state_of_report
from proxy.inference.endpoints import STREAMING_TASKS, InferenceEndpoint, TaskType

_CONSOLE: Final = "https://endpoints.huggingface.co"
_TOKENS: Final = "https://huggingface.co/settings/tokens"
_BILLING: Final = "https://huggingface.co/settings/billing"
_HINTS: Final[Mapping[State, str]] = {
    State.RATE_LIMITED: (
        "The provider limits how often it may be called. Lower [rate_limit.requests_per_minute] of "
        "the endpoint, or ask the provider for a higher limit."
    ),
    State.OVERLOADED: (
        "The provider has more to do than it can. Try again later, send less at once, or give it "
        "more replicas."
    ),
    State.WAKING_UP: "The provider is starting. Try again in a minute or two.",
    State.PAUSED: "The endpoint is paused. Resume it where it is managed.",
    State.OUT_OF_CREDIT: (
        "The account that the token belongs to has no credit left. Add credit, or set [api_key] to "
        "the token of another account."
    ),
    State.BAD_TOKEN: (
        "The provider does not accept the token. Set [api_key] to the key that its server was "
        "started with; PUT _inference/{task}/{id}/_update changes it."
    ),
    State.FORBIDDEN: (
        "The provider knows the token, but does not allow it this call. Use a token that has the "
        "right to make it."
    ),
    State.REPLY_TOO_LARGE: (
        "The reply is longer than [provider.max_response_bytes]. Send fewer inputs at once, or "
        "raise that setting."
    ),
    State.REFUSED: "The provider does not accept the request. Its own message says why.",
    State.TIMED_OUT: TOO_LATE.hint,
    State.UNREACHABLE: (
        "No connection to the provider can be made or kept. Check that its server is running, and "
        "that host and port of [url] are right."
    ),
    State.DNS: (
        "The host of [url] has no address. Correct the URL; that of a deleted Inference Endpoint "
        "is gone for good."
    ),
    State.NOT_ALLOWED: (
        "The proxy does not call this address. Ask its operator to add the host to [egress.allow]; "
        "Elasticsearch, the proxy itself and link-local addresses are never called."
    ),
    State.FAILED: "The provider has failed. Its own log says why.",
    State.TLS: "The provider cannot be called by TLS.",
    State.WRONG_SHAPE: "The provider answers in a form that is not known.",
    State.BATCH_TOO_LARGE: (
        "The provider takes less in one call. Lower [provider.max_batch_inputs], send shorter "
        "inputs, or raise the server's own limits (text-embeddings-inference: "
        "--max-client-batch-size, --payload-limit)."
    ),
}
# A request that ran out of time before the endpoint's own limit let it be sent.
HELD_BACK: Final = Advice(
    State.TIMED_OUT,
    "The endpoint's own rate limit does not let the request be sent in time. Raise "
    "[rate_limit.requests_per_minute] of the endpoint, allow a longer [timeout], or send less.",
)
_QUEUE_FULL: Final = (
    "As many requests wait for the endpoint's own rate limit as may. Raise "
    "[rate_limit.requests_per_minute] of the endpoint, or send more texts in each request, and "
    "fewer requests at once."
)
_HOSTED_HINTS: Final[Mapping[State, str]] = {
    State.WAKING_UP: (
        "The endpoint is starting, as after it was scaled to zero. Try again in a minute or two, "
        "or keep at least one replica running."
    ),
    State.PAUSED: f"The endpoint is paused. Resume it at {_CONSOLE}.",
    State.OUT_OF_CREDIT: (
        "The account that the token belongs to has no credit left. Add credit at "
        f"{_BILLING}, or set [api_key] to the token of another account."
    ),
    State.BAD_TOKEN: (
        f"Hugging Face does not accept the token. Make a new one at {_TOKENS} and set [api_key] to "
        "it; PUT _inference/{task}/{id}/_update does so."
    ),
    State.FORBIDDEN: (
        "Hugging Face knows the token, but does not allow it this call. Give it the permission to "
        f"call Inference Endpoints or Inference Providers at {_TOKENS}, or accept the terms of a "
        "gated model."
    ),
}
_TOO_LONG: Final = "An input is longer than the model reads. Send shorter ones."
_TOO_LONG_UNCUT: Final = (
    "An input is longer than the model reads. Send shorter ones, or set [max_input_tokens] of the "
    "endpoint to what the model reads."
)
_CHAT_TOO_LONG: Final = (
    "The messages are longer than the model's context. Send fewer or shorter ones, or ask for "
    "fewer tokens."
)
_WRONG_CHAT_MODEL: Final = (
    "The provider does not serve this model. Set [model_id] to one that it lists at /v1/models; at "
    "Hugging Face, enable a provider that serves it."
)
_WRONG_MODEL: Final = (
    "The model behind [url] is not made for {task}. Use the URL of one that is, or create the "
    "endpoint with the task that this one is made for."
)
_REFUSED_SILENTLY: Final = "The provider does not accept the request. Its own log says why."
_TLS_ONLY: Final = "The provider speaks TLS there: use https:// in the endpoint's [url]."
_REDIRECT: Final = "The URL leads elsewhere, where tokens are not sent. Set [url] to that address."
_ROUTES: Final[Mapping[TaskType, str]] = {
    TaskType.TEXT_EMBEDDING: (
        "the URL of an Inference Endpoint as it is shown, or a server's route that takes [inputs] "
        "and answers vectors: /embed of text-embeddings-inference"
    ),
    TaskType.SPARSE_EMBEDDING: (
        "the URL of an Inference Endpoint as it is shown, or a server's route that takes [inputs] "
        "and answers a weight for each token"
    ),
    TaskType.RERANK: (
        "the URL of an Inference Endpoint with /rerank behind it, or that route of "
        "text-embeddings-inference or llama.cpp"
    ),
    TaskType.COMPLETION: "one that ends in /v1/chat/completions",
    TaskType.CHAT_COMPLETION: "one that ends in /v1/chat/completions",
}
_COUNT: Final = (
    "Expected one result for each input. Use a server, or a handler, that answers as many results "
    "as it is sent inputs."
)
STREAM: Final = "an event stream"
_EXPECTED: Final[Mapping[TaskType, str]] = {
    TaskType.TEXT_EMBEDDING: "a list of vectors, or an object with [embeddings]",
    TaskType.SPARSE_EMBEDDING: "a list of objects, each a weight for each token",
    TaskType.RERANK: "a list of objects with [index] and [score]",
    TaskType.COMPLETION: "an object with [choices]",
    TaskType.CHAT_COMPLETION: "an object with [choices]",
}


def advice_on(endpoint: InferenceEndpoint, outcome: FailedCall) -> Advice:
    """About a failed call."""
    found = find_state(endpoint, outcome)
    if found.state is State.WRONG_SHAPE:
        return advice_on_shape(endpoint, b"")
    hint = _hint(endpoint, found.state)
    status = None
    if isinstance(outcome, Refusal):
        status = outcome.status
        if found.state is State.WRONG_URL and status < 400:
            hint = _REDIRECT
        elif found.state is State.WRONG_URL and speaks_tls_only(outcome):
            hint = _TLS_ONLY
        elif found.state is State.REFUSED and not error_text(endpoint, load_error(outcome.body)):
            hint = _REFUSED_SILENTLY
    elif isinstance(outcome, NoReply) and found.state is State.TLS:
        hint = f"The provider cannot be called by TLS: {outcome.cause.reason}."
    return Advice(found.state, hint, status, found.seconds, found.state.is_general)


def advice_on_state(endpoint: InferenceEndpoint, state: State) -> Advice:
    """About a state that is known otherwise."""
    return Advice(state, _hint(endpoint, state))


def advice_on_full_queue(endpoint: InferenceEndpoint) -> Advice:
    """About a request that the proxy itself refuses; the next call leaves, and makes room."""
    seconds = 60.0 / endpoint.service_settings.requests_per_minute
    return Advice(State.RATE_LIMITED, _QUEUE_FULL, seconds=seconds)


def advice_on_report(endpoint: InferenceEndpoint, text: str, status: int) -> Advice:
    """About an error that the provider reports amid a stream, which would have that status."""
    return advice_on_state(endpoint, state_of_report(endpoint, text, status))


def advice_on_shape(endpoint: InferenceEndpoint, data: bytes, expected: str = "") -> Advice:
    """About a reply of another shape: what it is, what was expected, and what may help."""
    task, brackets = endpoint.task_type, shapes.outline(data)
    names = set(shapes.fields(data))
    told = f"Expected {expected or _EXPECTED[task]}, but the provider answered "
    told += f"{shapes.described(data)}."
    remedy = _remedy(task, brackets, names, expected)
    state = State.WRONG_URL if brackets == "<" else State.WRONG_SHAPE
    is_general = remedy is not None and "error" not in names  # what it is, is known
    remedy = remedy or f"Set [url] to {_ROUTES[task]}."
    return Advice(state, f"{told} {remedy}", is_general=is_general)


def advice_on_count() -> Advice:
    """About a reply with more or fewer results than there were inputs."""
    return Advice(State.WRONG_SHAPE, _COUNT)


def _hint(endpoint: InferenceEndpoint, state: State) -> str:
    task, chats = endpoint.task_type, endpoint.task_type in STREAMING_TASKS
    match state:
        case State.INPUT_TOO_LONG:
            if task is TaskType.TEXT_EMBEDDING:  # the only one that has this setting
                return _TOO_LONG_UNCUT
            return _CHAT_TOO_LONG if chats else _TOO_LONG
        case State.WRONG_MODEL:
            return _WRONG_CHAT_MODEL if chats else _WRONG_MODEL.format(task=task)
        case State.WRONG_URL:
            return f"Nothing answers {task} requests there. Set [url] to {_ROUTES[task]}."
    if is_hosted(endpoint) and state in _HOSTED_HINTS:
        return _HOSTED_HINTS[state].format(task=task, id=endpoint.inference_id)
    return _HINTS[state].format(task=task, id=endpoint.inference_id)


def _remedy(task: TaskType, brackets: str, names: set[str], expected: str) -> str | None:
    """What the shape gives away of the server."""
    if brackets == "<":
        return f"Set [url] to {_ROUTES[task]}, not to a page for browsers."
    if "error" in names and brackets == "{":
        return "It reports an error with a status of success: see its own log."
    if task in STREAMING_TASKS:
        return _chat_remedy(names, expected)
    if {"choices", "generated_text"} & names:
        return f"The URL leads to a model that writes texts, not to one made for {task}."
    if {"data", "embedding"} & names:
        return f"That is an OpenAI-style route. Set [url] to {_ROUTES[task]}."
    if {"results", "relevance_score"} & names:
        return f"That is a route in the form of Jina or Cohere. Set [url] to {_ROUTES[task]}."
    if "label" in names:
        return f"The URL leads to a classifier, not to a model made for {task}."
    if task is not TaskType.RERANK and {"index", "score"} <= names:
        return f"The URL leads to a reranker, not to a model made for {task}."
    if task is not TaskType.TEXT_EMBEDDING and brackets.endswith("[0"):
        return f"The URL leads to an embedding model, not to one made for {task}."
    if task is TaskType.TEXT_EMBEDDING and brackets == "[[[0":
        return "Use a server that pools the vectors of a text's tokens into one."
    if task is TaskType.SPARSE_EMBEDDING and brackets == "[[{":
        return "It answers numbers of tokens; a handler that answers the tokens' texts is needed."
    return None


def _chat_remedy(names: set[str], expected: str) -> str | None:
    if "choices" not in names:
        return None
    if expected:
        return "Use a server that streams."
    is_old = "text" in names  # as the choices of /v1/completions have
    return None if is_old else "The error says what of it cannot be read."
