"""Tasks of the proxy, asked for at other proxies, with real ones in front of an Elasticsearch."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import orjson
import pytest

from testbed.processes import Server
from tests.support.layer import ENABLED, FIELD, Caller, put_endpoint
from tests.support.processes import Serve
from tests.support.stubs import Call, FaultyServer, Reply, in_thread, json_reply
from tests.support.users import basic
from tests.support.waiting import eventually

PLAIN, SEMANTIC = "tasks-plain", "tasks-semantic"
COPY = {"source": {"index": PLAIN, "size": 1}, "dest": {"index": SEMANTIC}}
SLOW = "/_reindex?wait_for_completion=false&requests_per_second=0.05"
Start = Callable[..., Server]
FAST = "/_reindex?wait_for_completion=false"


def embedding(call: Call) -> Reply:
    return json_reply([[len(text), 1.0, 0.5] for text in orjson.loads(call.body)["inputs"]])


@pytest.fixture(scope="module")
def provider() -> Iterator[FaultyServer]:
    with in_thread(FaultyServer(embedding)) as provider:
        yield provider


@pytest.fixture(scope="module", params=["elasticsearch", "sqlite"])
def start(
    request, serve_for_session: Serve, elasticsearch, provider, tmp_path_factory
) -> Iterator[Start]:
    """Starts proxies that share a store."""
    store = "elasticsearch"
    if request.param == "sqlite":
        store = f"sqlite:{tmp_path_factory.mktemp('tasks') / 'store.db'}"
    index = {"HFPROXY_STORE_INDEX": f"hugging-face-inference-endpoints-{uuid4().hex[:8]}"}

    def start(*flags: str) -> Server:
        flags = ("--store", store, *flags)
        return serve_for_session(*flags, upstream=elasticsearch.url, env={**ENABLED, **index})

    caller = Caller(start().url)
    put_endpoint(caller, provider.url)
    caller.ok("PUT", f"/{SEMANTIC}", {"mappings": {"properties": {"body": FIELD}}})
    for number in range(3):
        caller.ok("PUT", f"/{PLAIN}/_doc/{number}?refresh=true", {"body": "a text"})
    yield start
    for name in (SEMANTIC, PLAIN):
        caller("DELETE", f"/{name}")


@pytest.fixture
def first(start: Start) -> Server:
    return start()


@pytest.fixture
def second(start: Start) -> Caller:
    return Caller(start().url)


def begun(proxy: Server, target: str) -> str:
    task: str = Caller(proxy.url).ok("POST", target, COPY)["task"]
    return task


def test_a_task_is_shown_listed_and_cancelled_by_another_proxy(first: Server, second: Caller):
    task = begun(first, SLOW)
    node = task.rpartition(":")[0]
    shown = second.ok("GET", f"/_tasks/{task}")
    assert (shown["completed"], shown["task"]["cancelled"]) == (False, False)
    listed = second.ok("GET", "/_tasks?detailed&actions=*reindex")["nodes"][node]["tasks"][task]
    assert listed["description"] == f"reindex from [{PLAIN}] to [{SEMANTIC}]"
    eventually(lambda: second.ok("GET", f"/_tasks/{task}")["task"]["status"]["batches"] == 1)
    second.ok("POST", f"/_tasks/{task}/_cancel")
    ended = second.ok("GET", f"/_tasks/{task}?wait_for_completion=true&timeout=20s")
    assert ended["response"]["canceled"] == "by user request"
    assert ended["response"]["batches"] == 1
    assert task not in str(second.ok("GET", "/_tasks"))


def test_its_outcome_can_be_asked_for_when_its_proxy_has_been_stopped(
    first: Server, second: Caller
):
    task = begun(first, FAST)
    ended = second.ok("GET", f"/_tasks/{task}?wait_for_completion=true&timeout=20s")
    first.stop()
    assert second.ok("GET", f"/_tasks/{task}") == ended
    assert ended["response"]["total"] == 3
    assert ended["response"]["failures"] == []


def test_a_task_whose_proxy_is_stopped_has_failed(first: Server, second: Caller):
    task = begun(first, SLOW)
    first.stop()
    shown = second.ok("GET", f"/_tasks/{task}")
    assert (shown["completed"], shown["error"]["type"]) == (True, "node_closed_exception")


def test_a_task_whose_proxy_dies_fails_for_whoever_asks(first: Server, second: Caller):
    task = begun(first, SLOW)
    os.killpg(first.pid, signal.SIGKILL)
    assert second.ok("GET", f"/_tasks/{task}")["completed"] is False
    ended = second.ok("GET", f"/_tasks/{task}?wait_for_completion=true&timeout=60s")
    assert ended["error"]["type"] == "node_closed_exception"
    assert "isn't part of the cluster" in ended["error"]["reason"]
    assert task not in str(second.ok("GET", "/_tasks"))


def test_all_tasks_of_an_action_are_cancelled_together(first: Server, second: Caller):
    tasks = [begun(first, SLOW) for _ in range(2)]
    answer = second.ok("POST", "/_tasks/_cancel?actions=*update/byquery")
    assert tasks[0] not in str(answer)
    answer = second.ok("POST", "/_tasks/_cancel?actions=indices:data/write/reindex")
    assert all(task in str(answer["nodes"]) for task in tasks)
    for task in tasks:
        ended = second.ok("GET", f"/_tasks/{task}?wait_for_completion=true&timeout=20s")
        assert ended["response"]["canceled"] == "by user request"


def test_workers_show_the_tasks_of_each_other(start: Start):
    proxy = start("--workers", "2")
    proxy.wait_for("listening on", count=2)
    tasks: list[str] = []
    while len({task.rpartition(":")[0] for task in tasks}) < 2:
        tasks.append(begun(proxy, SLOW))  # each connection leads to one of the workers
        assert len(tasks) < 50
    caller = Caller(proxy.url)
    for _ in range(6):
        assert all(task in str(caller.ok("GET", "/_tasks")) for task in tasks)
    for task in tasks:
        caller.ok("POST", f"/_tasks/{task}/_cancel")


def test_the_upstream_says_who_may_see_and_cancel(
    serve: Serve, secured_elasticsearch, provider, own_index: dict[str, str]
):
    login = {"HFPROXY_UPSTREAM_USERNAME": "admin", "HFPROXY_UPSTREAM_PASSWORD": "admin-password"}
    env: dict[str, Any] = {**ENABLED, **own_index, **login}
    one, other = (serve(upstream=secured_elasticsearch.url, env=env) for _ in range(2))
    admin = Caller(one.url).as_user(basic("admin"))
    put_endpoint(admin, provider.url)
    admin.ok("PUT", f"/{SEMANTIC}", {"mappings": {"properties": {"body": FIELD}}})
    admin.ok("PUT", f"/{PLAIN}/_doc/1?refresh=true", {"body": "a text"})
    task = admin.ok("POST", SLOW, COPY)["task"]
    nobody = Caller(other.url).as_user(basic("nobody"))
    assert nobody("GET", "/_tasks").status == 403
    assert nobody("GET", f"/_tasks/{task}").status == 403
    assert nobody("POST", f"/_tasks/{task}/_cancel").status == 403
    assert nobody("POST", "/_tasks/_cancel").status == 403
    there = Caller(other.url).as_user(basic("admin"))
    assert there.ok("POST", f"/_tasks/{task}/_cancel")["nodes"]
    for name in (SEMANTIC, PLAIN):
        admin.ok("DELETE", f"/{name}")
