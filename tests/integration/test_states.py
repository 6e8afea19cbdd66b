"""What is told of real models: their states, and what they use."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from testbed.processes import Server
from tests.support.processes import Serve
from tests.support.rawhttp import Answer, send

JSON: Final = [("Content-Type", "application/json")]
CHAT: Final = "/v1/chat/completions"
STREAM: Final = "/_inference/chat_completion/one/_stream?timeout=120s"


class Proxy:
    """A proxy without Elasticsearch, and its admin port."""

    def __init__(self, server: Server) -> None:
        self.url = server.url
        told = server.wait_for("metrics on ").rpartition("metrics on ")[2]
        self.admin = told.split('"')[0].strip().removesuffix("/metrics")

    def __call__(self, method: str, path: str, body: Any) -> Answer:
        return send(self.url, method, path, JSON, orjson.dumps(body), timeout=150)

    def put(self, task: str, url: str) -> Answer:
        settings = {"url": url, "api_key": "secret"}
        body = {"service": "hugging_face", "service_settings": settings}
        return self("PUT", f"/_inference/{task}/one?timeout=120s", body)

    def endpoint(self) -> Any:
        """What the admin port shows of the only endpoint."""
        (one,) = orjson.loads(send(self.admin, "GET", "/endpoints").body)["endpoints"]
        return one


@pytest.fixture
def proxy(serve: Serve, tmp_path: Path) -> Proxy:
    store = f"sqlite:{tmp_path}/endpoints.db"
    return Proxy(serve("--store", store, "--admin", "127.0.0.1:0"))


def hint_of(answer: Answer) -> str:
    return str(orjson.loads(answer.body)["error"]["hint"])


def test_a_chat_model_tells_its_tokens(proxy, provider):
    assert proxy.put("chat_completion", provider.url + CHAT).status == 200
    messages = [{"role": "user", "content": "Say hello."}]
    answer = proxy("POST", STREAM, {"messages": messages, "max_completion_tokens": 8})
    assert answer.status == 200
    one = proxy.endpoint()
    assert one["state"] == "ok"
    used = one["usage"]
    assert (used["calls"], used["characters"]) == (1, len("Say hello."))
    assert used["input_tokens"] > 3
    assert 0 < used["output_tokens"] <= 8
    assert used["provider_seconds"] > 0


def test_a_prompt_beyond_the_context_is_told_as_that(proxy, provider):
    assert proxy.put("chat_completion", provider.url + CHAT).status == 200
    messages = [{"role": "user", "content": "hello world " * 20_000}]
    answer = proxy("POST", STREAM, {"messages": messages})
    error = orjson.loads(answer.text.partition("data: ")[2])["error"]
    assert error["hint"].startswith("The messages are longer than the model's context.")
    one = proxy.endpoint()
    assert (one["state"], one["last_error"]["state"]) == ("ok", "input_too_long")


@pytest.mark.parametrize(
    ("task", "path", "hint"),
    [
        ("text_embedding", "/nowhere", "Nothing answers text_embedding requests there."),
        ("chat_completion", "/nowhere", "one that ends in /v1/chat/completions"),
        ("sparse_embedding", "/embed", "leads to an embedding model"),
    ],
)
def test_a_url_of_another_task_is_told_when_the_endpoint_is_made(proxy, provider, task, path, hint):
    answer = proxy.put(task, provider.url + path)
    assert answer.status == 400
    assert hint in hint_of(answer)


def test_a_server_that_has_gone_is_told(proxy, provider):
    answer = proxy.put("text_embedding", "http://127.0.0.1:1/embed")
    assert hint_of(answer).startswith("No connection to the provider can be made or kept.")
