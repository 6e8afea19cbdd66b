"""Event streams requested as Kibana's AI connector does, and read with Kibana's parser.

Real models answer; a stub is used only for what they do not do on demand.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from testbed.processes import Server
from tests.integration.examples import EXAMPLES, MESSAGES, example_body
from tests.support.npm import installed
from tests.support.rawhttp import send
from tests.support.runtimes import tool
from tests.support.stubs import FaultyServer, Reply, event_reply, in_thread

pytestmark = pytest.mark.clients

FOLDER: Final = Path(__file__).parent / "kibana"
JSON: Final = {"Content-Type": "application/json"}
VENDORED: Final = "application/vnd.elasticsearch+json; compatible-with=9"
# What the connector's client sends. Source: InferenceConnector of Kibana's stack connectors.
CONNECTOR: Final = {
    "User-Agent": "Kibana/9.2.4",
    "Accept": VENDORED,
    "Content-Type": VENDORED,
    "Accept-Encoding": "identity",
    "x-elastic-product-origin": "kibana",
    "X-Elastic-Product-Use-Case": "inference",
}
ASKED_FOR: Final = {
    "connector": CONNECTOR,
    "as events": CONNECTOR | JSON | {"Accept": "text/event-stream"},
    "as json": CONNECTOR | JSON | {"Accept": "application/json"},
    "compressed": CONNECTOR | {"Accept-Encoding": "gzip, deflate"},
}
CHAT: Final = "/_inference/chat_completion/hugging-face-chat-completion/_stream?timeout=180s"
COMPLETION: Final = "/_inference/completion/hugging-face-completion/_stream"


@pytest.fixture(scope="session")
def packages() -> Path:
    """The folder that holds the packages of package-lock.json."""
    return installed(FOLDER)


@pytest.fixture
def read_stream(open_proxy: Server, packages: Path):
    """Reads a stream of the proxy: status, headers, and the events that the parser finds."""

    def read(path: str, body: Any, headers: Mapping[str, str] = CONNECTOR) -> Any:
        request = {"url": open_proxy.url + path, "headers": dict(headers), "body": body}
        done = subprocess.run(
            [tool("node"), str(FOLDER / "stream.mjs"), json.dumps(request)],
            cwd=packages,
            capture_output=True,
            text=True,
            timeout=150,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return read


def create(proxy: Server, task_type: str, provider_url: str) -> None:
    path = f"/_inference/{task_type}/{EXAMPLES[task_type][0]}"
    body = orjson.dumps(example_body(task_type, provider_url))
    answer = send(proxy.url, "PUT", path, list(JSON.items()), body, timeout=150)
    assert answer.status == 200, answer.text


def values(stream: Any) -> list[Any]:
    """The JSON of each event, in order; every one is a message, and `[DONE]` is the last."""
    events = stream["events"]
    assert {(event["type"], event["event"]) for event in events} == {("event", "message")}
    *data, end = [event["data"] for event in events]
    assert end == "[DONE]"
    return [json.loads(text) for text in data]


def words(chunks: list[Any]) -> list[str]:
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    return [delta["content"] for delta in deltas if "content" in delta]


@pytest.mark.parametrize("headers", ASKED_FOR.values(), ids=ASKED_FOR)
def test_a_chat_of_a_real_model(open_proxy, provider, read_stream, headers):
    create(open_proxy, "chat_completion", provider.url)
    body = {"temperature": 0, "messages": MESSAGES, "max_completion_tokens": 16}
    stream = read_stream(CHAT, body, headers)
    assert stream["status"] == 200
    assert stream["headers"]["content-type"] == "text/event-stream"
    chunks = values(stream)
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len(words(chunks)) > 1
    assert "".join(words(chunks)).strip()


def test_a_completion_of_a_real_model(open_proxy, provider, read_stream):
    create(open_proxy, "completion", provider.url)
    chunks = values(read_stream(COMPLETION, {"input": "Say hello."}))
    deltas = [item["delta"] for chunk in chunks for item in chunk["completion"]]
    assert len(deltas) > 1
    assert "".join(deltas).strip()


def test_a_refusal_is_one_error_event(read_stream):
    stream = read_stream(CHAT, {"messages": MESSAGES})
    assert stream["status"] == 404
    (event,) = stream["events"]
    assert event["event"] == "error"
    reason = "Inference endpoint not found [hugging-face-chat-completion]"
    assert json.loads(event["data"])["error"]["message"] == reason


def chunk(text: str) -> str:
    choice = {"index": 0, "delta": {"content": text}}
    value = {"id": "1", "model": "m", "object": "chat.completion.chunk", "choices": [choice]}
    return f"data: {json.dumps(value)}\n\n"


def stubbed(open_proxy: Server, read_stream: Any, reply: Reply) -> Any:
    """A chat whose provider, once the endpoint is created, answers with `reply`."""
    fine = event_reply(chunk("fine"), "data: [DONE]\n\n")
    with in_thread(FaultyServer([fine, reply])) as stub:
        create(open_proxy, "chat_completion", stub.url)
        return read_stream(CHAT, {"messages": MESSAGES})


def test_texts_that_look_like_framing_stay_whole(open_proxy, read_stream):
    texts = ["one\ntwo\r\n", "\n\ndata: [DONE]\n\n", "\u2028\ufeffevent: error", "三😀", ": "]
    reply = event_reply(*map(chunk, texts), "data: [DONE]\n\n")
    assert words(values(stubbed(open_proxy, read_stream, reply))) == texts


def test_a_stream_that_breaks_ends_in_an_error_event(open_proxy, read_stream):
    reply = event_reply(chunk("one"), fault="reset_after")
    stream = stubbed(open_proxy, read_stream, reply)
    first, last = stream["events"]
    assert stream["status"] == 200
    assert words([json.loads(first["data"])]) == ["one"]
    assert last["event"] == "error"
    error = json.loads(last["data"])["error"]
    assert error["message"]


def test_the_lock_file_names_no_registry():
    lock = (FOLDER / "package-lock.json").read_text()
    assert "://" not in lock
    assert "integrity" in lock
