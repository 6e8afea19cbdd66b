"""What is the matter with a provider: one state out of a closed set, by what it answers.

Elasticsearch's words for failures stand in failures and stay as they are. The states are the
proxy's own: they choose the hint that callers see, and are labels of figures and of the log.
Source: what Inference Endpoints, the router, text-embeddings-inference, text-generation-inference,
vLLM, llama.cpp and the services behind the router answer.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

from proxy.ground import advice
from proxy.huggingface.calls import FailedCall, InvalidHost, NoReply, Refusal
from proxy.huggingface.failures import TOO_LONG, any_text
from proxy.huggingface.replyjson import load_error
from proxy.inference.endpoints import InferenceEndpoint


class State(StrEnum):
    """The state of an endpoint's provider, or what one call to it tells of that."""

    OK = "ok"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    WAKING_UP = advice.WAKING_UP
    PAUSED = "paused"
    OUT_OF_CREDIT = "out_of_credit"
    BAD_TOKEN = "bad_token"
    FORBIDDEN = "forbidden"
    WRONG_URL = "wrong_url"
    WRONG_MODEL = "wrong_model"
    WRONG_SHAPE = "wrong_shape"
    INPUT_TOO_LONG = "input_too_long"
    BATCH_TOO_LARGE = "batch_too_large"
    REPLY_TOO_LARGE = "reply_too_large"
    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    UNREACHABLE = "unreachable"
    TLS = "tls"
    DNS = "dns"
    NOT_ALLOWED = "not_allowed"
    FAILED = "failed"

    @property
    def is_of_request(self) -> bool:
        """Whether it tells of what was sent, and not of the provider, which does answer."""
        return self in _OF_REQUEST

    @property
    def is_general(self) -> bool:
        """Whether nothing else that is sent fares better, as the provider takes nothing at all."""
        return self in _GENERAL


_OF_REQUEST: Final = {
    *(State.INPUT_TOO_LONG, State.BATCH_TOO_LARGE, State.REPLY_TOO_LARGE, State.REFUSED),
}
_GENERAL: Final = {
    *(State.WAKING_UP, State.PAUSED, State.OUT_OF_CREDIT, State.BAD_TOKEN, State.FORBIDDEN),
    *(State.WRONG_URL, State.WRONG_MODEL),
}
# Those that pass by themselves, so that callers are told when to try again.
_PASSING: Final = {
    *(State.RATE_LIMITED, State.OVERLOADED, State.WAKING_UP, State.TIMED_OUT, State.FAILED),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """A state; `seconds` after which the provider says it will be over."""

    state: State
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class _Rule:
    """Statuses, and what the answer must say, or where it must come from, to mean `state`."""

    state: State
    statuses: Container[int]
    says: re.Pattern[str] | None = None
    hosted: bool = False


def _rule(state: State, statuses: Container[int], says: str = "", *, hosted: bool = False) -> _Rule:
    return _Rule(state, statuses, re.compile(says, re.IGNORECASE) if says else None, hosted)


_CREDIT: Final = (
    r"(?:monthly|included|prepaid|pre-paid) .{0,20}credits"
    r"|insufficient[ _](?:credit|quota|balance|fund)|not[ _]enough[ _]balance"
    r"|payment (?:method )?required"
)
_TOKEN: Final = (
    r"(?:invalid|incorrect|expired) (?:api[ _-]?key|(?:access |user )?token|credentials|username)"
    r"|token (?:is|has|seems) (?:invalid|expired)"
)
_MODEL: Final = (
    r"\bmodels?\b.{0,200}(?:does not exist|not found|not supported)|model_not_(?:found|supported)"
    r"|model is not an? |not available for splade"
    r"|(?:does not|doesn't) support (?:embedding|rerank|chat|completion)"
)
_PROMPT_TOO_LONG: Final = (
    r"tokens`? \+ `?max_new_tokens|reduce (?:your prompt|the length)|exceed_context_size"
    r"|context_(?:length|window)_exceeded|token count of \d+ exceeds"
)


def _missing(names: str) -> str:
    """Text-embeddings-inference misses these fields, or vLLM does, or FastAPI (see `_codes`)."""
    return rf"missing field `(?:{names})`|'missing', 'loc': \('body', '(?:{names})'\)"


# Where the route is one of another task.
_MISSING: Final = _missing("inputs?|texts?|query|documents|messages|prompt")
_LOADING: Final = (
    r"loading|(?:is|still) (?:starting|initiali[sz]ing|warming)|scaled to zero|not ready"
    r"|^503 service unavailable"  # the proxy of Inference Endpoints, while a replica starts
)
_DOWN: Final = (
    r"unhealthy|dead"
    r"|no (?:healthy upstream|available server)|upstream connect error"  # Envoy, Traefik
)
_BUSY: Final = r"overload|too busy|(?:at|no|out of) capacity|queue (?:is )?full|out of memory"
# What nginx, Apache and Go say at a port that speaks TLS.
_PLAIN_HTTP: Final = r"plain HTTP (?:request was sent )?to (?:HTTPS|an SSL)|to an HTTPS server"
# The first that fits decides.
_RULES: Final = (
    _rule(State.PAUSED, (400, 403, 409, 503), r"endpoint is paused|endpoint_paused|invalid state"),
    _rule(State.OUT_OF_CREDIT, (402,)),
    _rule(State.OUT_OF_CREDIT, (400, 403, 429), _CREDIT),
    _rule(State.BAD_TOKEN, (401,)),
    _rule(State.BAD_TOKEN, (400, 403), _TOKEN),
    _rule(State.FORBIDDEN, (403, 407, 451)),
    _rule(State.BATCH_TOO_LARGE, (413, 422), r"batch size"),
    _Rule(State.INPUT_TOO_LONG, (400, 413, 422, 500), TOO_LONG),
    _rule(State.INPUT_TOO_LONG, (400, 413, 422), _PROMPT_TOO_LONG),
    _rule(State.BATCH_TOO_LARGE, (413,)),
    _rule(State.WRONG_MODEL, (400, 404, 422, 424, 500, 501), _MODEL),
    _rule(State.WAKING_UP, (500, 502, 503), _LOADING),
    _rule(State.OVERLOADED, (424, 429, 500, 503), _BUSY),
    _rule(State.OVERLOADED, (424,), r"^\W*$|failed dependency"),
    _rule(State.OVERLOADED, (529,)),
    _rule(State.RATE_LIMITED, (429,)),
    _rule(State.TIMED_OUT, (408, 504, 524)),
    _rule(State.TIMED_OUT, (500, 502, 503), r"timed? ?out"),
    _rule(State.WRONG_URL, (400,), _PLAIN_HTTP),
    _rule(State.WRONG_URL, (400, 422), _MISSING),
    _rule(State.WRONG_MODEL, (400, 422), _missing("model")),
    _rule(State.WRONG_URL, (*range(300, 400), 404, 405, 410, 501)),
    _rule(State.WAKING_UP, (502, 503), hosted=True),
    _rule(State.FAILED, (503,), _DOWN),
    _rule(State.OVERLOADED, (503,)),
    _rule(State.FAILED, (424, *range(500, 600))),
    _rule(State.REFUSED, range(1000)),
)
_MAX_SAID: Final = 2048  # characters; servers say it in one sentence
_LONGEST_WAIT: Final = 7 * 24 * 3600  # seconds
_HOSTED: Final = (".huggingface.cloud", ".huggingface.co")
_OF_CAUSE: Final = {
    "s_s_l_handshake_exception": State.TLS,
    "connect_timeout_exception": State.TIMED_OUT,
    "illegal_state_exception": State.WRONG_SHAPE,  # an empty answer
}


def find_state(endpoint: InferenceEndpoint, outcome: FailedCall) -> Finding:
    """What a failed call tells of the provider."""
    if isinstance(outcome, Refusal):
        return _of_refusal(endpoint, outcome)
    if isinstance(outcome, InvalidHost):
        return Finding(State.NOT_ALLOWED if outcome.is_denied else State.DNS)
    return Finding(_of_no_reply(outcome))


def speaks_tls_only(refusal: Refusal) -> bool:
    """Whether it says that the URL has to begin with `https`."""
    said = any_text(refusal)[:_MAX_SAID]
    return refusal.status == 400 and re.search(_PLAIN_HTTP, said, re.IGNORECASE) is not None


def is_hosted(endpoint: InferenceEndpoint, domains: tuple[str, ...] = _HOSTED) -> bool:
    """Whether the provider stands at Hugging Face, and not beside the proxy or elsewhere.

    `domains` are those that count, each with a dot before it.
    """
    try:
        host = urlsplit(endpoint.service_settings.url).hostname or ""
    except ValueError:
        return False
    return f".{host}".endswith(domains)


def state_of_report(endpoint: InferenceEndpoint, text: str, status: int) -> State:
    """What an error tells that a provider reports amid a stream, as if it came with that status."""
    return _decided(endpoint, status, text)


def _of_refusal(endpoint: InferenceEndpoint, refusal: Refusal) -> Finding:
    reply = load_error(refusal.body)
    said = " ".join([any_text(refusal), *_codes(reply)])
    state = _decided(endpoint, refusal.status, said)
    seconds = _wait(refusal.retry_after)
    if seconds is None and isinstance(reply, dict):
        seconds = _wait(reply.get("estimated_time"))
    return Finding(state, seconds if state in _PASSING else None)


def _decided(endpoint: InferenceEndpoint, status: int, said: str) -> State:
    said = said.strip()[:_MAX_SAID]
    for rule in _RULES:
        if status not in rule.statuses or (rule.hosted and not is_hosted(endpoint)):
            continue
        if rule.says is None or rule.says.search(said):
            return rule.state
    return State.FAILED


def _of_no_reply(outcome: NoReply) -> State:
    kind = outcome.cause.type
    if kind == "i_o_exception" and not outcome.may_pass:
        return State.REPLY_TOO_LARGE
    return _OF_CAUSE.get(kind, State.UNREACHABLE)


def _codes(reply: Any) -> Iterator[str]:
    """The short words with which servers name kinds of errors, and fields that they miss."""
    if isinstance(reply, dict):
        inner = reply.get("error")
        for part in (reply, inner if isinstance(inner, dict) else {}):
            for name in ("error_type", "type", "code"):
                if isinstance(code := part.get(name), str):
                    yield code
        details = reply.get("detail")
        for one in details if isinstance(details, list) else ():
            match one:
                case {"type": "missing" | "value_error.missing", "loc": [*_, str() as field]}:
                    yield f"missing field `{field}`"


def _wait(seconds: Any) -> float | None:
    """A number of seconds that somebody may want to wait."""
    is_number = type(seconds) in (int, float)
    return float(seconds) if is_number and 0 < seconds <= _LONGEST_WAIT else None
