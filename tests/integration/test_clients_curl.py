"""curl through the proxy: the requests of Elastic's page, with its ways to authenticate."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from testbed.processes import Server
from tests.integration.examples import (
    DOCUMENTS,
    EXAMPLES,
    MESSAGES,
    QUERY,
    TEXTS,
    assert_chat_stream,
    assert_completion,
    assert_completion_stream,
    assert_embeddings,
    assert_endpoint,
    assert_ranking,
    example_body,
    lines,
)
from tests.support.users import USERS

JSON = ("-H", "Content-Type: application/json")


def curl(method: str, url: str, *options: str, body: Any = None) -> tuple[int, str]:
    """Status and body of one request; a body that is not bytes is sent as JSON."""
    program = shutil.which("curl")
    if program is None:
        pytest.fail("curl is missing: install the package curl of your system")
    arguments = [program, "-sS", "--max-time", "120", "-X", method, "-w", "\n%{http_code}"]
    if body is not None:
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        arguments += ["--data-binary", data.decode(), *JSON]
    done = subprocess.run([*arguments, *options, url], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text, _, status = done.stdout.rpartition("\n")
    return int(status), text


def good(answer: tuple[int, str]) -> Any:
    """The body of a 200, as JSON."""
    status, text = answer
    assert status == 200, text
    return json.loads(text)


@pytest.fixture(params=["basic", "api key"])
def login(request: pytest.FixtureRequest, secured_proxy: Server) -> Iterator[list[str]]:
    """The options of curl that authenticate the administrator."""
    password = ["-u", f"admin:{USERS['admin'][0]}"]
    if request.param == "basic":
        yield password
        return
    url = f"{secured_proxy.url}/_security/api_key"
    key = good(curl("POST", url, *password, body={"name": "curl"}))
    encoded = base64.b64encode(f"{key['id']}:{key['api_key']}".encode()).decode()
    assert encoded == key["encoded"]
    yield ["-H", f"Authorization: ApiKey {encoded}"]
    good(curl("DELETE", url, *password, body={"ids": [key["id"]]}))


@pytest.mark.parametrize("task_type", EXAMPLES)
def test_an_example_of_the_page_is_created_shown_and_deleted(
    secured_proxy, provider, login, task_type
):
    url = f"{secured_proxy.url}/_inference/{task_type}/{EXAMPLES[task_type][0]}"
    made = good(curl("PUT", url, *login, body=example_body(task_type, provider.url)))
    assert_endpoint(made, task_type, provider.url)
    assert good(curl("GET", url, *login)) == {"endpoints": [made]}
    assert good(curl("DELETE", url, *login))["acknowledged"] is True
    status, text = curl("GET", url, *login)
    assert status == 404
    assert "resource_not_found_exception" in text


def test_every_example_works_with_real_models(secured_proxy, provider, login):
    base = f"{secured_proxy.url}/_inference"
    urls = {task: f"{base}/{task}/{name}" for task, (name, _) in EXAMPLES.items()}
    for task, url in urls.items():
        good(curl("PUT", url, *login, body=example_body(task, provider.url)))
    assert_embeddings(good(curl("POST", urls["text_embedding"], *login, body={"input": TEXTS})))
    body = {"query": QUERY, "input": DOCUMENTS}
    assert_ranking(good(curl("POST", urls["rerank"], *login, body=body)))
    body = {"input": "Say hello."}
    assert_completion(good(curl("POST", urls["completion"], *login, body=body)))
    status, text = curl("POST", f"{urls['completion']}/_stream", "-N", *login, body=body)
    assert status == 200
    assert_completion_stream(text)
    chat = {"messages": MESSAGES, "max_completion_tokens": 24}
    status, text = curl("POST", f"{urls['chat_completion']}/_stream", "-N", *login, body=chat)
    assert status == 200
    assert_chat_stream(text)


def test_everything_else_reaches_elasticsearch(secured_proxy, login):
    base = secured_proxy.url
    body = lines({"index": {"_index": "curl", "_id": "1"}}, {"text": "a cow"})
    assert good(curl("POST", f"{base}/_bulk?refresh", *login, body=body))["errors"] is False
    found = good(curl("GET", f"{base}/curl/_search?q=cow", "--compressed", *login))
    assert found["hits"]["total"]["value"] == 1
    assert good(curl("DELETE", f"{base}/curl", *login)) == {"acknowledged": True}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ([], "missing authentication credentials for REST request [/_inference/_all]"),
        (["-u", "admin:wrong"], "unable to authenticate user [admin]"),
        (["-H", "Authorization: ApiKey bm86Z29vZA=="], "unable to authenticate with provided"),
    ],
)
def test_wrong_credentials_are_refused_as_elasticsearch_refuses_them(
    secured_proxy, options, reason
):
    status, text = curl("GET", f"{secured_proxy.url}/_inference/_all", *options)
    assert status == 401
    assert reason in json.loads(text)["error"]["reason"]


def test_less_privilege_means_less_is_allowed(secured_proxy, provider):
    url = f"{secured_proxy.url}/_inference/text_embedding/hugging-face-embeddings"
    body = example_body("text_embedding", provider.url)

    def login(name: str) -> list[str]:
        return ["-u", f"{name}:{USERS[name][0]}"]

    assert curl("PUT", url, *login("monitor"), body=body)[0] == 403
    assert curl("PUT", url, *login("nobody"), body=body)[0] == 403
    assert curl("PUT", url, *login("manager"), body=body)[0] == 200
    assert curl("POST", url, *login("monitor"), body={"input": "a"})[0] == 200
    assert curl("POST", url, *login("nobody"), body={"input": "a"})[0] == 403
    assert curl("DELETE", url, *login("monitor"))[0] == 403
    assert curl("DELETE", url, *login("manager"))[0] == 200
