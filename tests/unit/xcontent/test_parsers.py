"""Bodies and parameters, read as Elasticsearch 9.2.4 reads them.

parser-cases.jsonl records what that release's own request classes make of each `body`: `as` names
the parser, `expect` is the result, with the JSON parser's messages reduced to their positions and
tokens masked. For more cases, run those classes from the jars of the distribution, on JDK 21.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from proxy.ground.errors import ProxyError
from proxy.inference.chat import as_streamed_chat_error, parse_chat_request
from proxy.inference.endpoints import TaskType
from proxy.inference.requests import parse_inference_request
from proxy.inference.updates import parse_update
from proxy.rest.body import Body, as_map
from proxy.xcontent.times import parse_time, time_text
from tests.support.requests import body_of
from tests.support.samples import PROFILE

FILE: Final = Path(__file__).parent / "parser-cases.jsonl"
CASES: Final = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
SOURCE: Final = re.compile(r"^(\[\d+:\d+\] )?(.*)\n at \[Source: .*$", re.DOTALL)


def json_body(text: str) -> Body:
    return body_of(text.encode(), {"Content-Type": "application/json"})


def read_map(body: str, _: str) -> Any:
    return as_map(json_body(body).document())


def read_update(body: str, _: str) -> Any:
    update = parse_update(as_map(json_body(body).document()), PROFILE.update)
    service, task = update.service_settings or None, update.task_settings or None
    return {"service": service, "task": task, "type": update.task_type}


def read_infer(body: str, task: str) -> Any:
    request = parse_inference_request(json_body(body).document())
    request.validate(TaskType(task), PROFILE)
    return {
        "input": request.input,
        "query": request.query,
        "top_n": request.top_n,
        "return_documents": request.return_documents,
        "input_type": request.input_type or "unspecified",
        "task_settings": request.task_settings or {},
    }


def read_chat(body: str, _: str) -> Any:
    try:
        parse_chat_request(json_body(body).document())
    except ProxyError as error:
        raise as_streamed_chat_error(error) from None
    return True


def read_time(text: str, _: str) -> Any:
    seconds = parse_time(text, "timeout")
    return [time_text(seconds), round(seconds * 1e9)]


READERS: Final = {
    "map": read_map,
    "update": read_update,
    "infer": read_infer,
    "chat": read_chat,
    "time": read_time,
}


def without_parser_texts(value: Any) -> Any:
    """The value with Jackson's messages reduced to the positions at their beginning."""
    if isinstance(value, dict):
        return {key: without_parser_texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_parser_texts(item) for item in value]
    if isinstance(value, str) and (match := SOURCE.match(value)):
        return f"{match[1] or ''}…"
    return value


@pytest.mark.parametrize("case", CASES, ids=[f"{c['as']} {c['body'][:60]}" for c in CASES])
def test_a_body_is_read_as_elasticsearch_reads_it(case: dict[str, Any]) -> None:
    kind, _, task = case["as"].partition(":")
    status = None
    try:
        found = {"ok": READERS[kind](case["body"], task)}
    except ProxyError as error:
        found, status = error.envelope(), error.status
    expected = case["expect"]
    if status is not None:
        assert status == expected["status"]
        found["status"] = status
    assert without_parser_texts(found) == expected
