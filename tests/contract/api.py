"""Runs the cases of the `_inference` API: each is a JSON line with setup, request and expectation.

The keys of an expectation are those of `_CHECKS`, `status`, `status_any_of` and `headers`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from tests.contract.casefiles import fill_in
from tests.contract.compare import (
    Event,
    differences,
    parse_events,
    path_differences,
    text_differences,
    without_extras,
)
from tests.support.rawhttp import Answer, Headers, send


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The proxy that a case runs against; `authorization` is the default for its requests."""

    url: str
    authorization: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)


def run_api_case(case: Mapping[str, Any], target: Target) -> list[str]:
    """Run a case on an empty store; the differences from its expectation."""
    case = fill_in(case, {f"${{{name}}}": text for name, text in target.variables.items()})
    for request in case["setup"]:
        answer = send_request(request, target)
        if answer.status != 200:
            return [f"setup {request['method']} {request['path']}: {answer.text}"]
    return api_differences(case["expect"], send_request(case["request"], target))


def send_request(request: Mapping[str, Any], target: Target) -> Answer:
    """Send a request of a case."""
    return send(
        target.url,
        request["method"],
        request["path"],
        _headers(request.get("headers", {}), target),
        _body(request),
    )


def _headers(given: Mapping[str, Any], target: Target) -> Headers:
    """A null leaves a header out; a list sends it several times."""
    pairs = []
    if target.authorization is not None and "Authorization" not in given:
        pairs.append(("Authorization", target.authorization))
    for name, value in given.items():
        values = value if isinstance(value, list) else [value]
        pairs += [(name, text) for text in values if text is not None]
    return pairs


def _body(request: Mapping[str, Any]) -> bytes | Sequence[bytes] | None:
    """The bytes to send; with `chunked`, in one chunk, or in none if there are none."""
    body = _bytes(request)
    if not request.get("chunked"):
        return body
    return [] if body is None else [body]


def _bytes(request: Mapping[str, Any]) -> bytes | None:
    if "raw_body_b64" in request:
        return base64.b64decode(request["raw_body_b64"])
    if "raw_body" in request:
        return str(request["raw_body"]).encode()
    return orjson.dumps(request["body"]) if "body" in request else None


def api_differences(expect: Mapping[str, Any], answer: Answer) -> list[str]:
    """All differences between an answer and an expectation."""
    found = _status_differences(expect, answer)
    for name, expected in expect.get("headers", {}).items():
        if answer.header(name) != expected:
            found.append(f"header {name} is {answer.header(name)!r}, not {expected!r}")
    for key, check in _CHECKS.items():
        if key in expect:
            found += check(expect[key], answer)
    unknown = expect.keys() - _CHECKS.keys() - {"status", "status_any_of", "headers"}
    if unknown:
        raise ValueError(f"the runner does not know {sorted(unknown)}")
    return [f"{text} in {answer.body[:2000]!r}" for text in found]


def _status_differences(expect: Mapping[str, Any], answer: Answer) -> list[str]:
    allowed = expect.get("status_any_of", [expect.get("status")])
    return [] if answer.status in allowed else [f"status {answer.status} is not {allowed}"]


def _json(answer: Answer) -> Any:
    try:
        return without_extras(orjson.loads(answer.content))
    except orjson.JSONDecodeError:
        return f"no JSON: {answer.text!r}"


def _body_equals(expected: Any, answer: Answer) -> list[str]:
    return differences(expected, _json(answer))


def _body_contains(expected: Mapping[str, Any], answer: Answer) -> list[str]:
    body = _json(answer)
    return [d for path, value in expected.items() for d in path_differences(body, path, value)]


def _body_text_equals(expected: str, answer: Answer) -> list[str]:
    return text_differences(expected, answer.text)


def _body_text_contains(expected: list[str], answer: Answer) -> list[str]:
    return [f"text {text!r} missing" for text in expected if text not in answer.text]


def _body_not_contains_text(expected: list[str], answer: Answer) -> list[str]:
    return [f"text {text!r} present" for text in expected if text in answer.text]


def _body_bytes_prefix_hex(expected: str, answer: Answer) -> list[str]:
    wanted = bytes.fromhex(expected)
    return [] if answer.content.startswith(wanted) else [f"body does not start with {wanted!r}"]


def _error_type(expected: str, answer: Answer) -> list[str]:
    return path_differences(_json(answer), "error.type", expected)


def _reason(expected: str, answer: Answer) -> list[str]:
    return path_differences(_json(answer), "error.reason", expected)


def _reason_any_of(expected: list[str], answer: Answer) -> list[str]:
    found = [path_differences(_json(answer), "error.reason", text) for text in expected]
    return [] if [] in found else found[0]


def _sse(expected: list[Any], answer: Answer) -> list[str]:
    """All events, in order."""
    events, problems = parse_events(answer.text)
    if len(events) != len(expected):
        return [*problems, f"{len(events)} events instead of {len(expected)}"]
    pairs = zip(expected, events, strict=True)
    return problems + [d for wanted, event in pairs for d in _event_differences(wanted, event)]


def _sse_contains(expected: list[Any], answer: Answer) -> list[str]:
    events, problems = parse_events(answer.text)
    missing = [e for e in expected if all(_event_differences(e, event) for event in events)]
    return problems + [f"no event {wanted}" for wanted in missing]


def _sse_last(expected: Mapping[str, Any], answer: Answer) -> list[str]:
    events, problems = parse_events(answer.text)
    if not events:
        return [*problems, "no events"]
    return problems + _event_differences(expected, events[-1])


def _event_differences(expected: Mapping[str, Any], event: Event) -> list[str]:
    found = [] if event.event == expected["event"] else [f"event {event.event}, not {expected}"]
    if "data_text" in expected:
        return found + differences(expected["data_text"], event.data, "data")
    return found + differences(expected["data"], event.json, "data")


_CHECKS: Final = {
    "body_equals": _body_equals,
    "body_contains": _body_contains,
    "body_text_equals": _body_text_equals,
    "body_text_contains": _body_text_contains,
    "body_not_contains_text": _body_not_contains_text,
    "body_bytes_prefix_hex": _body_bytes_prefix_hex,
    "error_type": _error_type,
    "reason": _reason,
    "reason_any_of": _reason_any_of,
    "sse": _sse,
    "sse_contains": _sse_contains,
    "sse_last": _sse_last,
}
