"""Comments in silent streams do no harm to the parsers that people use."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from elasticsearch import Elasticsearch

from proxy.ground.sse import HEARTBEAT, EventDecoder
from testbed.processes import Server
from tests.integration.test_clients_javascript import JavaScriptClient
from tests.support.npm import installed
from tests.support.processes import Serve
from tests.support.rawhttp import send
from tests.support.runtimes import tool
from tests.support.stubs import EVENTS, FaultyServer, event_reply, in_thread

HERE: Final = Path(__file__).parent
PLAIN: Final = {"Accept": "application/json", "Content-Type": "application/json"}
PATH: Final = "/_inference/chat_completion/chat/_stream"
BODY: Final = {"messages": [{"role": "user", "content": "hello"}]}
WORDS: Final = ["one", "two", "three"]
COMMENT: Final = HEARTBEAT.decode()


def chunk(word: str) -> str:
    choice = {"index": 0, "delta": {"content": word}}
    return "data: " + json.dumps({"id": "1", "choices": [choice]}) + "\n\n"


@pytest.fixture
def proxy(serve: Serve, tmp_path: Path) -> Iterator[Server]:
    """A proxy that sends comments, with an endpoint whose provider makes pauses."""
    env = {"HFPROXY_PROVIDER_STREAM_HEARTBEAT": "0.05"}
    proxy = serve("--store", f"sqlite:{tmp_path}/endpoints.db", env=env)
    reply = event_reply(*map(chunk, WORDS), "data: [DONE]\n\n", pause=0.2)
    assert reply.headers == EVENTS
    with in_thread(FaultyServer([reply])) as provider:
        settings = {"url": provider.url, "api_key": "secret"}
        body = orjson.dumps({"service": "hugging_face", "service_settings": settings})
        path = "/_inference/chat_completion/chat"
        assert send(proxy.url, "PUT", path, list(PLAIN.items()), body).status == 200
        yield proxy


def words_of(datas: list[str]) -> list[str]:
    *chunks, end = datas
    assert end == "[DONE]"
    return [json.loads(one)["choices"][0]["delta"]["content"] for one in chunks]


def words_in(text: str) -> list[str]:
    assert text.count(COMMENT) >= len(WORDS)
    return words_of([event.data for event in EventDecoder().feed(text.encode())])


def test_the_python_client_reads_on(proxy):
    with Elasticsearch(proxy.url) as client:
        answer = client.perform_request("POST", PATH, headers=PLAIN, body=BODY)
    assert words_in(str(answer.body)) == WORDS


@pytest.mark.clients
def test_the_javascript_client_reads_on(proxy):
    params = {"inference_id": "chat", "chat_completion_request": BODY}
    with JavaScriptClient(installed(HERE / "javascript"), {"node": proxy.url}) as client:
        chunks = client.call("inference.chatCompletionUnified", params, asStream=True)
    assert words_in("".join(chunks)) == WORDS


@pytest.mark.clients
def test_the_parser_of_kibana_skips_them(proxy):
    folder = HERE / "kibana"
    request = {"url": proxy.url + PATH, "headers": PLAIN, "body": BODY}
    command = [tool("node"), str(folder / "stream.mjs"), json.dumps(request)]
    done: Any = subprocess.run(
        command, cwd=installed(folder), capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, done.stderr
    events = json.loads(done.stdout)["events"]
    assert {event["event"] for event in events} == {"message"}
    assert words_of([event["data"] for event in events]) == WORDS
