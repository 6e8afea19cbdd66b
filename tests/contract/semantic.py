"""Runs the cases of semantic fields: requests in order, each with what its answer must hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import orjson

from tests.contract.api import Target
from tests.contract.casefiles import fill_in
from tests.support.rawhttp import Answer, send

Case = Mapping[str, Any]
_MISSING: Final = object()
_CLOSE: Final = 1e-4  # of saved vectors


def run_semantic_case(case: Case, target: Target) -> list[str]:
    """Run a case on indices that are not there yet; what is wrong with the first answer that is."""
    for index in sorted(_indices(case)):
        send(target.url, "DELETE", f"/{index}?ignore_unavailable=true")
    saved: dict[str, Any] = {}
    for step in (*case["setup"], *case["steps"]):
        answer = _sent(fill_in(step, {"{stub}": target.variables["STUB"]}), target)
        if problems := _problems(step["expect"], answer, saved):
            return [f"{step['method']} {step['path']}: {one}" for one in problems]
    return []


def _indices(case: Case) -> set[str]:
    """The indices that a case names, in paths and action lines."""
    found: set[str] = set()
    for step in case["steps"]:
        first = step["path"].split("/")[1].partition("?")[0]
        found.update(first.split(",") if first and first[0] not in "_%" else ())
        for line in step.get("ndjson", ()):
            for action in line.values():
                if isinstance(action, dict) and isinstance(action.get("_index"), str):
                    found.add(action["_index"])
    return found


def _sent(step: Mapping[str, Any], target: Target) -> Answer:
    if "ndjson" in step:
        body = b"".join(orjson.dumps(line) + b"\n" for line in step["ndjson"])
        kind = "application/x-ndjson"
    else:
        body = orjson.dumps(step["body"]) if "body" in step else b""
        kind = "application/json"
    headers = [("Content-Type", kind)] if body else []
    return send(target.url, step["method"], step["path"], headers, body or None)


def _problems(expect: Mapping[str, Any], answer: Answer, saved: dict[str, Any]) -> list[str]:
    if "status" in expect and answer.status != expect["status"]:
        return [f"status {answer.status} is not {expect['status']}: {answer.text[:2000]}"]
    try:
        document = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        document = answer.text
    found = []
    for one in expect.get("asserts", ()):
        actual = answer.text if one["path"] == "" else _at(document, one["path"].split("."))
        if not _OPERATORS[one["op"]](actual, one.get("value"), saved):
            shown = "missing" if actual is _MISSING else repr(actual)[:2000]
            found.append(f"{one['path']} {one['op']} {one.get('value')!r}: {shown}")
    return found


def _at(value: Any, names: list[str]) -> Any:
    """What is at a path; names may have dots."""
    if not names:
        return value
    if isinstance(value, list) and names[0].isdigit():
        return _at(value[int(names[0])], names[1:]) if int(names[0]) < len(value) else _MISSING
    if isinstance(value, dict):
        for length in range(len(names), 0, -1):
            name = ".".join(names[:length])
            if name in value:
                return _at(value[name], names[length:])
    return _MISSING


def _save(actual: Any, name: str, saved: dict[str, Any]) -> bool:
    saved[name] = actual
    return actual is not _MISSING


def _close(actual: Any, expected: Any, _: object) -> bool:
    return isinstance(actual, int | float) and abs(actual - expected[0]) <= expected[1]


def _contains(actual: Any, expected: Any, _: object) -> bool:
    return expected in (actual if isinstance(actual, str | list) else orjson.dumps(actual).decode())


def _same_numbers(actual: Iterable[float], name: str, saved: Mapping[str, Any]) -> bool:
    pairs = zip(actual, saved[name], strict=True)
    return all(abs(one - other) <= _CLOSE for one, other in pairs)


_OPERATORS: Final[dict[str, Callable[[Any, Any, dict[str, Any]], bool]]] = {
    "eq": lambda actual, expected, _: bool(actual == expected),
    "close": _close,
    "exists": lambda actual, *_: actual is not _MISSING,
    "absent": lambda actual, *_: actual is _MISSING,
    "len": lambda actual, expected, _: len(actual) == expected,
    "keys": lambda actual, expected, _: set(actual) == set(expected),
    "regex": lambda actual, expected, _: re.search(expected, actual) is not None,
    "contains": _contains,
    "save": _save,
    "close_to_saved": _same_numbers,
}
