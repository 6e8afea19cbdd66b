"""Every error a caller can see, and how Elasticsearch prints it.

ProxyError                       status and Elasticsearch `type` are fixed by the leaf
├── IllegalArgument              400 illegal_argument_exception
│   └── PatternSyntax            400 pattern_syntax_exception: not a regular expression of Java
├── ParseFailed                  400 parse_exception
├── XContentParseFailed          400 x_content_parse_exception, with the position in the body
│   └── XContentEnd              400 x_content_e_o_f_exception: it ends too early
├── MediaTypeRejected            400 media_type_header_exception: Accept, Content-Type
├── ParsingFailed                400 parsing_exception: a provider's answer of the wrong shape
├── UnreadableReply              500 a provider's answer that holds no result, named by its Cause
├── ValidationFailed             400 validation_exception: settings, all problems at once
├── ActionRequestInvalid         400 action_request_validation_exception
├── StatusError                  status_exception with any status
│   └── CountMismatch            500 a provider's reply has more or fewer results than inputs
├── NotOurs                      unknown here; an upstream with an inference plugin may know it
│   ├── EndpointNotFound         404 resource_not_found_exception
│   │   └── StoreMissing         404 the store's index is missing, and every endpoint with it
│   ├── EndpointNotUpdated       404 status_exception: the same for an update
│   ├── UnknownService           400 status_exception
│   └── NoHandler                400 a PlainError: no route has this path
├── EndpointAlreadyExists        400 resource_already_exists_exception
├── Rejected                     429 es_rejected_execution_exception: a limit or a queue is full
├── MemoryShort                  429 circuit_breaking_exception: too much memory is in use
├── RequestTimedOut              429 timeout_exception
├── Unauthorized                 403 security_exception
├── UpstreamError                Elasticsearch behind us cannot be used
│   ├── UpstreamUnavailable      503 no connection, or its state is unknown
│   ├── UpstreamBroken           502 its answer is not HTTP, or broke off
│   └── UpstreamTimedOut         504 no answer in time
├── StoreError                   503 the endpoint store cannot be used
│   ├── StoreOverloaded          429 it takes no changes for now: disk full, queue full
│   ├── StoreDamaged             500 it is not as the proxy made it, and nothing is written to it
│   ├── KeyMismatch              503 its records were sealed with another encryption key
│   └── RecordRefused            500 one record cannot be opened, or is not what it claims to be
├── UpstreamRefusal              a refusal by the upstream's security, in its own words
│   └── Unauthenticated          401 it does not know the caller
├── BadParameter                 400 bad_parameter_exception
├── ChatError                    an error in the shape of a streamed chat
├── ChatFailed                   unified_chat_completion_exception: a chat that is not streamed
└── PlainError                   `{"error": "text"}`: what the REST layer answers before any action

`Cause` describes a Java exception that only ever appears inside another one's `caused_by`.
Long texts are cut to what helps: see quoting.
Source: ElasticsearchException.generateFailureXContent and guessRootCauses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, Self

from proxy.ground.advice import KEYS, Advice, rendered
from proxy.ground.causes import Cause as Cause
from proxy.ground.quoting import MOST, all_shortened, quoted_part, shortened


class ProxyError(Exception):
    """Base of every error a caller can see; a subclass sets `status` and Elasticsearch's `type`."""

    status: int = 500
    type: str = "exception"
    # Whether Elasticsearch's class extends ElasticsearchException: only those can be root causes.
    is_root_cause: bool = True
    limit: str | None = None  # the configured one that was hit, if any: a label of the metrics
    provider_status: int | None = None  # of a provider's answer, if this error is about one
    advice: Advice | None = None
    longest: ClassVar[int] = MOST  # characters of its text; the middle of a longer one is left out

    def __init__(
        self,
        reason: str,
        *,
        cause: ProxyError | Cause | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.reason = shortened(reason, self.longest)
        super().__init__(self.reason)
        self.cause = cause
        self.extra = dict(extra or {})
        self.headers: Sequence[tuple[str, str]] = ()  # of the answer, beside the usual ones

    def render(self, trace: str | None = None) -> dict[str, Any]:
        """The error object: `type`, `reason`, the fields of the class, `caused_by`, advice."""
        error: dict[str, Any] = {"type": self.type, "reason": self.reason, **self.extra}
        if self.cause is not None:
            cause = error["caused_by"] = self.cause.render()
            error |= {key: cause.pop(key) for key in KEYS if key in cause}  # told once, outermost
        error |= rendered(self.advice)
        if trace is not None:
            error["stack_trace"] = trace
        return error

    def advised(self, advice: Advice | None) -> Self:
        """This error, with that advice beside it."""
        if advice is not None:
            self.advice, self.headers = advice, [*self.headers, *advice.headers()]
        return self

    def root_cause(self) -> ProxyError:
        """The innermost error that Elasticsearch would name as the root cause."""
        root = self
        while isinstance(root.cause, ProxyError) and root._looks_through(root.cause):
            root = root.cause
        return root

    def _looks_through(self, cause: ProxyError) -> bool:
        return self.is_root_cause and cause.is_root_cause

    def reworded(self, reword: Callable[[str], str]) -> Self:
        """A copy with its text, and those of its causes, changed by `reword`.

        The error itself if nothing changes.
        """
        reason = reword(self.reason)
        cause = None if self.cause is None else self.cause.reworded(reword)
        if (reason, cause) == (self.reason, self.cause):
            return self
        copy = type(self).__new__(type(self), reason)
        vars(copy).update(vars(self), reason=reason, cause=cause)
        return copy

    def of_limit(self, limit: str) -> Self:
        """This error, marked as caused by the limit of that name."""
        self.limit = limit
        return self

    def envelope(self, trace: str | None = None) -> dict[str, Any]:
        """The body of the answer; with a `stack_trace` of that text, if there is one."""
        root = self.root_cause()
        root_error = {"type": root.type, "reason": root.reason, **root.extra}
        if trace is not None:
            root_error["stack_trace"] = trace
        return {
            "error": {"root_cause": [root_error], **self.render(trace)},
            "status": self.status,
        }


class IllegalArgument(ProxyError):
    status = 400
    type = "illegal_argument_exception"
    is_root_cause = False


class PatternSyntax(IllegalArgument):
    type = "pattern_syntax_exception"


class ParseFailed(ProxyError):
    status = 400
    type = "parse_exception"


class XContentParseFailed(ProxyError):
    status = 400
    type = "x_content_parse_exception"
    is_root_cause = False

    def _looks_through(self, cause: ProxyError) -> bool:
        return cause.is_root_cause or isinstance(cause, XContentParseFailed)


class XContentEnd(XContentParseFailed):
    type = "x_content_e_o_f_exception"


class ParsingFailed(ProxyError):
    """A JSON value of the wrong kind, at `line` and `col` (both from 1)."""

    status = 400
    type = "parsing_exception"

    def __init__(self, reason: str, line: int, col: int) -> None:
        super().__init__(reason, extra={"line": line, "col": col})


class UnreadableReply(ProxyError):
    """What Elasticsearch's reader of a provider's reply throws: `cause`, here on its own."""

    is_root_cause = False

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.reason, cause=cause.cause)
        self.type = cause.type


class _Numbered(ProxyError):
    status = 400
    longest = 16 * MOST  # as settings can have many problems, each shortened by itself

    def __init__(self, problems: Sequence[str]) -> None:
        shown = map(shortened, problems)
        numbered = "".join(f"{n}: {problem};" for n, problem in enumerate(shown, 1))
        super().__init__(f"Validation Failed: {numbered}")


class ValidationFailed(_Numbered):
    type = "validation_exception"
    is_root_cause = False


class ActionRequestInvalid(_Numbered):
    type = "action_request_validation_exception"
    is_root_cause = False


class MediaTypeRejected(ProxyError):
    status = 400
    type = "media_type_header_exception"
    is_root_cause = False


class StatusError(ProxyError):
    """Elasticsearch's ElasticsearchStatusException: any status, told apart by its text alone."""

    type = "status_exception"

    def __init__(
        self, status: int, reason: str, *, cause: ProxyError | Cause | None = None
    ) -> None:
        super().__init__(reason, cause=cause)
        self.status = status


class CountMismatch(StatusError):
    """Not as many results as inputs, so that results cannot be matched to inputs."""

    def __init__(self, results: int, inputs: int) -> None:
        super().__init__(
            500,
            f"Error the number of embedding responses [{results}] does not equal the number of "
            f"requests [{inputs}]",
        )
        self.results = results


class NotOurs(ProxyError):
    """Something unknown here that an upstream with an inference plugin of its own may know.

    The request is handed on upstream, and this error shown only if there is no such plugin.
    """


class EndpointNotFound(NotOurs):
    status = 404
    type = "resource_not_found_exception"

    def __init__(self, inference_id: str) -> None:
        super().__init__(f"Inference endpoint not found [{inference_id}]")
        self.inference_id = inference_id


class StoreMissing(EndpointNotFound):
    """The store's index is missing. An endpoint that is remembered can still be used."""

    def __init__(self, inference_id: str, hint: str | None = None) -> None:
        super().__init__(inference_id)
        if hint is not None:
            self.extra["hint"] = hint


class EndpointNotUpdated(NotOurs):
    """EndpointNotFound for an update, which Elasticsearch words differently."""

    status = 404
    type = "status_exception"

    def __init__(self, inference_id: str) -> None:
        super().__init__(
            f"The inference endpoint [{inference_id}] does not exist and cannot be updated"
        )


class UnknownService(NotOurs):
    status = 400
    type = "status_exception"

    def __init__(self, service: str) -> None:
        super().__init__(f"Unknown service [{service}]")


class EndpointAlreadyExists(ProxyError):
    status = 400
    type = "resource_already_exists_exception"

    def __init__(self, inference_id: str) -> None:
        super().__init__(f"Inference endpoint [{inference_id}] already exists")


class Rejected(ProxyError):
    """Too much is under way; the caller may try again."""

    status = 429
    type = "es_rejected_execution_exception"
    is_root_cause = False

    def __init__(self, reason: str, limit: str) -> None:
        super().__init__(reason)
        self.limit = limit
        self.headers = [("Retry-After", "1")]


class MemoryShort(ProxyError):
    """As Elasticsearch's circuit breakers answer. Source: CircuitBreakingException."""

    status = 429
    type = "circuit_breaking_exception"
    limit = "memory"

    def __init__(self, wanted: int, limit: int, whose: str = "<http_request>") -> None:
        super().__init__(
            f"[in_flight_requests] Data too large, data for [{whose}] would be [{wanted}b], "
            f"which is larger than the limit of [{limit}b]",
            extra={"bytes_wanted": wanted, "bytes_limit": limit, "durability": "TRANSIENT"},
        )
        self.headers = [("Retry-After", "1")]


class RequestTimedOut(ProxyError):
    status = 429
    type = "timeout_exception"

    def __init__(self, reason: str) -> None:
        super().__init__(reason, extra={"timed_out": True})


class Unauthorized(ProxyError):
    status = 403
    type = "security_exception"


class UpstreamError(ProxyError):
    type = "status_exception"
    why: str | None = None  # what is wrong with its TLS: a clause about "it"


class UpstreamUnavailable(UpstreamError):
    status = 503


class UpstreamBroken(UpstreamError):
    status = 502


class UpstreamTimedOut(UpstreamError):
    status = 504


class StoreError(ProxyError):
    """The endpoint store cannot be used; the text never quotes the store's answer."""

    status = 503
    type = "status_exception"


class StoreOverloaded(StoreError):
    status = 429

    def __init__(self, reason: str, retry_after: int = 1) -> None:
        super().__init__(reason)
        self.headers = [("Retry-After", str(retry_after))]  # seconds


class StoreDamaged(StoreError):
    """The operator's data is not in order. Endpoints that are remembered can still be used."""

    status = 500


class KeyMismatch(StoreError):
    """Raised when the store is opened, it keeps the proxy from starting."""


class RecordRefused(StoreError):
    """A record that must not be used. It can still be deleted."""

    status = 500


class UpstreamRefusal(ProxyError):
    """A refusal by the upstream's security: its status, body and challenges."""

    def __init__(self, status: int, body: Mapping[str, Any], challenges: Sequence[str]) -> None:
        super().__init__(body["error"]["reason"])
        self.status = status
        self.type = body["error"]["type"]
        self.headers = [("WWW-Authenticate", challenge) for challenge in challenges]
        self._body = all_shortened(body)

    def envelope(self, trace: str | None = None) -> dict[str, Any]:
        return dict(self._body)


class Unauthenticated(UpstreamRefusal):
    """401: the upstream does not know the caller."""


class BadParameter(ProxyError):
    status = 400
    type = "bad_parameter_exception"


_EXCEPTION: Final = "unified_chat_completion_exception"


class ChatError(ProxyError):
    """An error in the shape of a streamed chat: `{"error": {"code", "message", "type"}}`."""

    def __init__(self, status: int, code: str | None, message: str, type: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = None if code is None else quoted_part(code)  # it may be a provider's
        self.type = quoted_part(type)

    def render(self, trace: str | None = None) -> dict[str, Any]:
        # As the cause of another error it is printed like any exception.
        return {"type": _EXCEPTION, "reason": self.reason, **rendered(self.advice)}

    def envelope(self, trace: str | None = None) -> dict[str, Any]:
        code = {} if self.code is None else {"code": self.code}
        shown = {"message": self.reason, "type": self.type, **rendered(self.advice)}
        return {"error": {**code, **shown}}


class ChatFailed(ProxyError):
    """An error of a chat that is not streamed: chat's exception in the usual envelope."""

    type = _EXCEPTION

    def __init__(self, error: ProxyError) -> None:
        # A provider's failure is chat's exception already; any other error is its cause.
        super().__init__(error.reason, cause=None if isinstance(error, ChatError) else error)
        self.status = error.status
        self.advised(error.advice)


class PlainError(ProxyError):
    """An answer of the REST layer itself: `error` is a text, not an object."""

    def __init__(
        self,
        status: int,
        reason: str,
        *,
        show_status: bool = True,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = headers
        self._show_status = show_status

    def envelope(self, trace: str | None = None) -> dict[str, Any]:
        body: dict[str, Any] = {"error": self.reason}
        if self._show_status:
            body["status"] = self.status
        return body


class NoHandler(NotOurs, PlainError):
    """A path that no route has."""

    def __init__(self, method: str, target: str) -> None:
        reason = f"no handler found for uri [{target}] and method [{method}]"
        super().__init__(400, reason, show_status=False)


class NoInferenceFeature(Exception):
    """The upstream has no inference plugin. Never shown to callers."""
