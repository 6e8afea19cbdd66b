"""Requests generated from Elastic's OpenAPI description of the API, valid and invalid.

No answer is a 5xx, none is missing, each fits its description, and errors have one of
Elasticsearch's forms. The proxy and Elasticsearch are real; the provider is a stub.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode, Response

from testbed.processes import Server
from tests.contract.compare import parse_events
from tests.support.processes import Serve
from tests.support.rawhttp import send
from tests.support.stubs import FaultyServer

FOLDER: Final = Path(__file__).parent.parent / "openapi"
DESCRIPTION: Final[dict[str, Any]] = orjson.loads((FOLDER / "inference.json").read_bytes())
EXAMPLES: Final = 20  # of each operation and kind
PATIENCE: Final = 15.0  # seconds that a request may take
NEW: Final = "new-one"
PROVIDER_PATHS: Final = {
    "text_embedding": "/embed",
    "rerank": "/rerank",
    "completion": "/v1/chat/completions",
    "chat_completion": "/v1/chat/completions",
}


def closed(value: Any) -> Any:
    """A copy of a schema whose objects allow only the named keys, as Elasticsearch does."""
    if isinstance(value, list):
        return [closed(item) for item in value]
    if not isinstance(value, dict):
        return value
    copy = {key: closed(item) for key, item in value.items()}
    if copy.get("type") == "object" and "properties" in copy:
        copy["additionalProperties"] = False
    return copy


OPEN: Final = schemathesis.openapi.from_dict(DESCRIPTION)
CLOSED: Final = schemathesis.openapi.from_dict(closed(DESCRIPTION))
OPERATIONS: Final = [
    pytest.param(path, method.upper(), id=f"{method.upper()} {path}")
    for path, methods in DESCRIPTION["paths"].items()
    for method in methods
]
# Any text is a valid inference id: an operation without other parameters has no rules.
WITH_RULES: Final = [
    each for each in OPERATIONS if each.values[1] != "GET" or "{task_type}" in str(each.values[0])
]


class Endpoints:
    """One endpoint of each task, named after it with hyphens."""

    def __init__(self, proxy: Server, provider: FaultyServer) -> None:
        self._url = proxy.url
        self._provider = provider

    def body(self, task_type: str) -> dict[str, Any]:
        """The body of the PUT that creates it."""
        url = f"{self._provider.url}{PROVIDER_PATHS[task_type]}"
        return {"service": "hugging_face", "service_settings": {"api_key": "secret", "url": url}}

    def restore(self) -> None:
        """Create what is missing, and delete what is not one of these."""
        listed = send(self._url, "GET", "/_inference/_all")
        there = {one["inference_id"] for one in orjson.loads(listed.body)["endpoints"]}
        if NEW in there:
            send(self._url, "DELETE", f"/_inference/{NEW}")
        for task_type in PROVIDER_PATHS:
            if endpoint_of(task_type) not in there:
                self._create(task_type)

    def _create(self, task_type: str) -> None:
        answer = send(
            self._url,
            "PUT",
            f"/_inference/{task_type}/{endpoint_of(task_type)}",
            [("Content-Type", "application/json")],
            orjson.dumps(self.body(task_type)),
        )
        assert answer.status == 200, answer.text


def endpoint_of(task_type: str) -> str:
    return task_type.replace("_", "-")


@pytest.fixture(scope="module")
def proxy(serve_for_session: Serve, elasticsearch) -> Server:
    env = {
        "HFPROXY_PROVIDER_RETRY_INITIAL_DELAY": "0.01",
        "HFPROXY_PROVIDER_RETRY_MAX_DELAY": "0.02",
        "HFPROXY_STORE_INDEX": f"hugging-face-inference-endpoints-{uuid4().hex[:8]}",
    }
    return serve_for_session(upstream=elasticsearch.url, env=env)


@pytest.fixture(scope="module")
def endpoints(proxy: Server, stub: FaultyServer) -> Endpoints:
    return Endpoints(proxy, stub)


@pytest.fixture(autouse=True)
def _nothing_unforeseen(proxy: Server) -> Iterator[None]:
    before = len(proxy.output)
    yield
    written = proxy.output[before:]
    assert "Traceback" not in written, written
    assert "unhandled" not in written, written


def settle(case: Case[Any], task_type: str, endpoints: Endpoints) -> None:
    """Make a generated request name an endpoint and a provider that exist."""
    if isinstance(case.path_parameters, dict):
        for name in case.path_parameters:
            identity = NEW if creates(case) else endpoint_of(task_type)
            case.path_parameters[name] = task_type if name == "task_type" else identity
    if creates(case) and isinstance(case.body, dict):
        case.body |= endpoints.body(task_type)
    if case.method in ("PUT", "DELETE"):
        endpoints.restore()


def simplify(case: Case[Any], task_type: str, text: str, endpoints: Endpoints) -> None:
    """Reduce a request to what is required, for the task that its path names."""
    named = [part for part in case.path.split("/") if part in PROVIDER_PATHS]
    (task_type,) = named or [task_type]
    settle(case, task_type, endpoints)
    case.query = {}
    if creates(case):
        case.body = endpoints.body(task_type) | {"task_type": task_type}
    elif case.method == "PUT":
        token = f"a{len(text)}"  # the text itself is seldom printable ASCII, as tokens must be
        case.body = {"task_type": task_type, "service_settings": {"api_key": token}}
    elif case.method == "POST":
        case.body = inference_of(task_type, text)


def creates(case: Case[Any]) -> bool:
    return case.method == "PUT" and not case.path.endswith("_update")


def inference_of(task_type: str, text: str) -> dict[str, Any]:
    """The shortest valid body of an inference request."""
    if task_type == "chat_completion":
        return {"messages": [{"role": "user", "content": text}]}
    return {"input": [text]} | ({"query": f"a{text}"} if task_type == "rerank" else {})


Prepare = Callable[[Case[Any], str, str, bool], None]


def exercise(cases: Any, proxy: Server, prepare: Prepare) -> set[int]:
    """Send the generated requests and check their answers; returns the statuses."""
    statuses: set[int] = set()

    @settings(
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=EXAMPLES,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],  # without shrinking: requests over HTTP are too slow
    )
    @given(cases, st.sampled_from(list(PROVIDER_PATHS)), st.text(max_size=20), st.booleans())
    def run(case: Case[Any], task_type: str, text: str, simple: bool) -> None:
        prepare(case, task_type, text, simple)
        response = case.call(base_url=proxy.url, timeout=PATIENCE)
        statuses.add(response.status_code)
        check(case, response)

    run()
    return statuses


def check(case: Case[Any], response: Response) -> None:
    """Check that the answer fits its status."""
    content_type = response.headers["content-type"][0]
    if content_type == "text/event-stream":
        assert case.path.endswith("_stream")
        check_events(response)
    elif response.status_code < 300:
        assert not case.path.endswith("_stream")
        OPEN[case.operation.path][case.method].validate_response(response)
    else:
        check_error(orjson.loads(response.content), response.status_code)


def check_events(response: Response) -> None:
    """A stream ends with `[DONE]`; a refusal is one error event."""
    events, problems = parse_events(response.text)
    assert not problems
    if response.status_code < 300:
        assert all(event.event == "message" for event in events)
        assert all(isinstance(event.json, dict) for event in events[:-1])
        assert events[-1].data == "[DONE]"
    else:
        (event,) = events
        assert event.event == "error"
        check_error(event.json, response.status_code)


def check_error(body: Any, status: int) -> None:
    """An envelope, a chat error, or a plain text: the three forms of Elasticsearch's errors."""
    assert 400 <= status < 500
    error = body["error"]
    if isinstance(error, str):
        assert body.get("status", status) == status
    elif "code" in error:
        assert set(error) - {"param", "hint", "provider_status"} == {"code", "message", "type"}
    else:
        assert body["status"] == status
        for part in (error, *error["root_cause"]):
            assert isinstance(part["type"], str)
            assert isinstance(part["reason"], str)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_requests_as_described_are_answered_as_described(path, method, proxy, endpoints):
    def prepare(case: Case[Any], task_type: str, text: str, simple: bool) -> None:
        if simple:
            simplify(case, task_type, text, endpoints)
        else:
            settle(case, task_type, endpoints)

    endpoints.restore()
    cases = CLOSED[path][method].as_strategy(generation_mode=GenerationMode.POSITIVE)
    assert 200 in exercise(cases, proxy, prepare)


@pytest.mark.parametrize(("path", "method"), WITH_RULES)
def test_any_other_request_is_refused_in_form(path, method, proxy, endpoints):
    endpoints.restore()
    cases = OPEN[path][method].as_strategy(generation_mode=GenerationMode.NEGATIVE)
    statuses = exercise(cases, proxy, lambda *_: None)
    assert any(400 <= status < 500 for status in statuses)
