"""Runs the cases of the hugging_face service: what a provider is sent, and what its replies become.

Each case is a JSON line with an endpoint, a request, the provider's replies and two expectations.
"""

from __future__ import annotations

import base64
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import orjson

from tests.contract.api import Target, send_request
from tests.contract.casefiles import fill_in
from tests.contract.compare import (
    Event,
    differences,
    parse_events,
    path_differences,
    without_extras,
)
from tests.support.rawhttp import Answer
from tests.support.stubs import Call, FaultyServer, Reply, contract_reply, in_thread, json_reply

JSON_HEADERS: Final = {"Content-Type": "application/json"}


def run_hf_case(case: Mapping[str, Any], target: Target, stub: FaultyServer) -> list[str]:
    """Run a case on an empty store; the differences from its expectations.

    A case whose provider refuses connections gets a provider of its own, which is stopped before
    the call.
    """
    refused = (case["hf_reply"] or {}).get("connection") == "refused"
    with _own_provider(refused, stub) as provider:
        case = fill_in(case, {"{{hf}}": provider.url})
        if case["op"] == "infer":
            provider.answer = contract_reply
            answer = send_request(_creation(case), target)
            if answer.status != 200:
                return [f"the endpoint could not be made: {answer.text}"]
        if not refused:
            return _call(case, target, provider)
    return _call(case, target, provider)


@contextmanager
def _own_provider(own: bool, shared: FaultyServer) -> Iterator[FaultyServer]:
    if not own:
        yield shared
        return
    with in_thread(FaultyServer(contract_reply)) as provider:
        yield provider


def _creation(case: Mapping[str, Any]) -> dict[str, Any]:
    config = case["endpoint_config"]
    path = f"/_inference/{case['task']}/{config['inference_id']}"
    return {"method": "PUT", "path": path, "headers": JSON_HEADERS, "body": config["body"]}


def _call(case: Mapping[str, Any], target: Target, provider: FaultyServer) -> list[str]:
    """Send the request of the case, repeatedly if it says so; compare what both sides got."""
    provider.answer = _answers(case)
    provider.calls.clear()
    request = {**case["es_request"], "headers": JSON_HEADERS}
    if request.pop("body") is not None:
        request["body"] = case["es_request"]["body"]
    else:
        request["headers"] = {}
    count = case.get("es_repeat", {}).get("count", 1)
    begun = time.monotonic()
    with ThreadPoolExecutor(count) as pool:
        answers = list(pool.map(lambda _: send_request(request, target), range(count)))
    elapsed = (time.monotonic() - begun) * 1000
    provider.answer = contract_reply
    calls = [call for call in provider.calls if call.method == "POST"]
    found = [d for answer in answers for d in hf_differences(case["expected_es_response"], answer)]
    return found + call_differences(case, calls) + _time_differences(case, elapsed)


def _answers(case: Mapping[str, Any]) -> Callable[[Call], Reply]:
    """The replies of the case to POST, in order; any other request is answered 404."""
    spec = case["hf_reply"] or {"status": 500, "body": {"error": "this case makes no call"}}
    specs = [spec, *spec.get("then", [])]
    numbers = itertools.chain(range(len(specs) - 1), itertools.repeat(len(specs) - 1))

    def answer(call: Call) -> Reply:
        if call.method != "POST":
            return json_reply({"error": "not found"}, 404)
        return build_reply(specs[next(numbers)], call)

    return answer


def build_reply(spec: Mapping[str, Any], call: Call) -> Reply:
    """A reply of a case as one of the stub."""
    if "connection" in spec:
        return Reply(fault="hang" if spec["connection"] == "hang" else "reset")
    headers = spec.get("headers", JSON_HEADERS)
    if "sse_chunks" in spec or "sse_chunks_b64" in spec:
        chunks = [text.encode() for text in spec.get("sse_chunks", [])]
        chunks += [base64.b64decode(text) for text in spec.get("sse_chunks_b64", [])]
        fault: Any = "reset_after" if spec.get("close") == "reset" else None
        return Reply(status=spec["status"], headers=headers, chunks=chunks, fault=fault)
    return Reply(status=spec["status"], headers=headers, body=_reply_body(spec, call))


def _reply_body(spec: Mapping[str, Any], call: Call) -> bytes:
    if "body_raw" in spec:
        return str(spec["body_raw"]).encode()
    if "body_repeat" in spec:
        parts = spec["body_repeat"]
        return str(parts["prefix"] + parts["unit"] * parts["count"] + parts["suffix"]).encode()
    if "body_per_input" in spec:
        return orjson.dumps([spec["body_per_input"] for _ in call.json["inputs"]])
    return orjson.dumps(spec["body"])


def call_differences(case: Mapping[str, Any], calls: Sequence[Call]) -> list[str]:
    """The differences between the calls that the provider got and those expected."""
    found = []
    if len(calls) != case["expected_hf_calls"]:
        found.append(f"{len(calls)} calls instead of {case['expected_hf_calls']}")
    expected = case["expected_hf_request"]
    if expected is not None and calls:
        found += _request_differences(expected, calls)
    if "expected_hf_requests" in case:
        bodies = [call.json for call in calls]
        if case.get("any_order"):
            bodies.sort(key=orjson.dumps)
        found += differences(case["expected_hf_requests"], bodies, "bodies of all calls")
    gaps = [(b.at - a.at) * 1000 for a, b in itertools.pairwise(calls)]
    if gaps and min(gaps) < case.get("hf_min_gap_ms", 0):
        found.append(f"calls {gaps} ms apart")
    return found


def _request_differences(expected: Mapping[str, Any], calls: Sequence[Call]) -> list[str]:
    """Compare the first call completely, and the targets of all."""
    call = calls[0]
    found = differences(expected["body"], call.json, "request body")
    if call.method != expected["method"]:
        found.append(f"method {call.method}")
    found += [
        f"target {c.target} is not {expected['path']}"
        for c in calls
        if c.target != expected["path"]
    ]
    for name, value in expected["headers"].items():
        actual = call.headers.get(name, "")
        agrees = actual.startswith(value) if name == "Content-Type" else actual == value
        if not agrees:
            found.append(f"request header {name} is {actual!r}, not {value!r}")
    return found


def _time_differences(case: Mapping[str, Any], elapsed: float) -> list[str]:
    low, high = case.get("min_elapsed_ms", 0), case.get("max_elapsed_ms", float("inf"))
    return [] if low <= elapsed <= high else [f"{elapsed:.0f} ms, not {low} to {high}"]


def hf_differences(expected: Mapping[str, Any], answer: Answer) -> list[str]:
    """The differences between the answer to the caller and the expected one."""
    found = []
    if answer.status != expected["status"]:
        found.append(f"status {answer.status} is not {expected['status']}")
    if "sse" in expected:
        found += _stream_differences(expected, answer)
    else:
        body = without_extras(orjson.loads(answer.content))
        found += _body_differences(expected, body)
    return [f"{text} in {answer.body[:2000]!r}" for text in found]


def _body_differences(expected: Mapping[str, Any], body: Any) -> list[str]:
    found = []
    if "body" in expected:
        found += differences(expected["body"], body)
    if "error" in expected:
        found += error_differences(expected["error"], body.get("error"), "error")
    if "contains" in expected:
        found += path_differences(body, "", {"$contains_object": expected["contains"]})
    if "not_contains_service" in expected:
        names = [service["service"] for service in body]
        found += [f"{name} is listed" for name in names if name == expected["not_contains_service"]]
    return found


def error_differences(expected: Any, actual: Any, where: str) -> list[str]:
    """Compare error objects, which may have more keys; `x_prefix` and `x_any` are about key `x`."""
    if not isinstance(expected, dict) or not isinstance(actual, dict):
        return differences(expected, actual, where)
    found = []
    for key, value in expected.items():
        name = key.removesuffix("_prefix").removesuffix("_any")
        inner = f"{where}.{name}"
        got = actual.get(name)
        if key.endswith("_prefix"):
            agrees = isinstance(got, str) and got.startswith(value)
            found += [] if agrees else differences(value, got, inner)
        elif key.endswith("_any"):
            found += [] if got in value else [f"{inner}: {got!r} is none of {value}"]
        else:
            found += error_differences(value, got, inner)
    return found


def _stream_differences(expected: Mapping[str, Any], answer: Answer) -> list[str]:
    events, problems = parse_events(answer.text)
    wanted = [Event(event=e["event"], data=_text(e["data"])) for e in expected["sse"]]
    if expected.get("compare") == "concat_deltas":
        return problems + differences(_joined(wanted), _joined(events), "joined deltas")
    if len(events) != len(wanted):
        return [*problems, f"{len(events)} events instead of {len(wanted)}"]
    for number, (one, other) in enumerate(zip(wanted, events, strict=True)):
        where = f"event {number}"
        # Errors may have more keys, but not chunks: what Elasticsearch drops must be dropped.
        compare = error_differences if one.event == "error" else differences
        problems += differences(one.event, other.event, where)
        problems += compare(one.json, other.json, where)
    return problems


def _text(data: Any) -> str:
    return data if isinstance(data, str) else orjson.dumps(data).decode()


def _joined(events: Sequence[Event]) -> list[Any]:
    """The deltas joined to one text, then all events without one."""
    deltas: list[str] = []
    others: list[Any] = []
    for event in events:
        if isinstance(event.json, dict) and "completion" in event.json:
            deltas += [item["delta"] for item in event.json["completion"]]
        else:
            others.append([event.event, event.json])
    return ["".join(deltas), others]
