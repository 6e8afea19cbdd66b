"""The command line: starting, failing to start, recovering, ending."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from yarl import URL

from testbed.processes import Server, children_of, free_ports
from tests.support.endpoints import JSON, delete_all_endpoints, infer, put
from tests.support.processes import Serve
from tests.support.rawhttp import Answer, send
from tests.support.relays import Relay
from tests.support.stubs import Call, FaultyServer, Reply, contract_reply, in_thread
from tests.support.waiting import eventually

OTHER_KEY: Final = "7a" * 32


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Check that it failed with one line that says why."""
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.strip().splitlines()
    for word in words:
        assert word in line


# A bad start.


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("unheard_of: 1\n", ["unheard_of"]),
        ("provider:\n  timeot: 3\n", ["provider.timeot"]),
        ("workers: many\n", ["workers"]),
        ("workers: 0\n", ["workers"]),
        ("listen: nowhere\n", ["nowhere", "HOST:PORT"]),
        ("upstream: {url: 'http://user:pass@127.0.0.1:9200'}\n", ["upstream.url"]),
        ("store: {kind: redis}\n", ["store.kind"]),
        ("log: {level: loud}\n", ["log.level"]),
        ("listen: [\n", ["proxy.yml", "YAML"]),
        ("- a list\n", ["proxy.yml"]),
    ],
)
def test_a_bad_configuration_is_refused_in_one_line(run, tmp_path, text, words):
    path = tmp_path / "proxy.yml"
    path.write_text(text)
    assert_refused(run("serve", "--config", str(path)), *words)
    assert_refused(run("check", "--config", str(path)), *words)


def test_a_missing_file_and_an_unknown_variable_are_refused_in_one_line(run, tmp_path):
    missing = str(tmp_path / "missing.yml")
    assert_refused(run("serve", "--config", missing), missing)
    assert_refused(run("serve", env={"HFPROXY_UNHEARD_OF": "1"}), "HFPROXY_UNHEARD_OF")


def test_a_busy_port_is_refused_in_one_line(run, elasticsearch, own_index):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        address = f"127.0.0.1:{busy.getsockname()[1]}"
        arguments = ("serve", "--upstream", elasticsearch.url, "--listen", address)
        assert_refused(run(*arguments, env=own_index), address)


@pytest.mark.parametrize("key", ["too-short", "6b" * 31])
def test_a_malformed_key_is_refused_in_one_line(run, elasticsearch, own_index, key):
    env = own_index | {"HFPROXY_STORE_ENCRYPTION_KEY": key}
    arguments = ("serve", "--upstream", elasticsearch.url, "--listen", "127.0.0.1:0")
    done = run(*arguments, env=env)
    assert_refused(done, "key")
    assert "too-short" not in done.stderr
    assert "6b6b" not in done.stderr


@pytest.mark.parametrize("key", [None, OTHER_KEY], ids=["missing", "wrong"])
@pytest.mark.parametrize("kind", ["elasticsearch", "sqlite"])
def test_a_missing_or_wrong_key_is_refused_in_one_line(
    serve, run, elasticsearch, own_index, stub, tmp_path, kind, key
):
    """Only if the store has endpoints; for an empty one the proxy makes a key."""
    store = ("--store", store_of(kind, tmp_path))
    proxy = serve(*store, upstream=elasticsearch.url, env=own_index)
    assert put(proxy.url, "one", stub.url).status == 200
    assert proxy.stop() == 0
    env = own_index | {"HFPROXY_STORE_ENCRYPTION_KEY": key}
    arguments = ("serve", "--upstream", elasticsearch.url, "--listen", "127.0.0.1:0")
    done = run(*arguments, *store, env=env)
    assert_refused(done, "key")
    assert OTHER_KEY not in done.stderr


@pytest.mark.parametrize("kind", ["elasticsearch", "sqlite"])
def test_a_key_that_the_proxy_makes_is_kept_and_read_by_its_owner_alone(
    serve, elasticsearch, own_index, stub, tmp_path, kind
):
    store = ("--store", store_of(kind, tmp_path))
    env = own_index | {
        "HFPROXY_STORE_ENCRYPTION_KEY": None,
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    proxy = serve(*store, upstream=elasticsearch.url, env=env)
    assert put(proxy.url, "one", stub.url).status == 200
    assert proxy.stop() == 0
    proxy = serve(*store, upstream=elasticsearch.url, env=env)
    assert infer(proxy.url, "one").status == 200
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    keys = [path for path in files if "key" in path.name]
    assert keys
    assert all(path.stat().st_mode & 0o077 == 0 for path in keys)
    assert all(b"secret" not in path.read_bytes() for path in files)


def store_of(kind: str, folder: Path) -> str:
    """The value of --store."""
    return kind if kind == "elasticsearch" else f"sqlite:{folder / 'endpoints.db'}"


def test_check_prints_the_configuration_without_its_secrets(run, tmp_path):
    path = tmp_path / "proxy.yml"
    path.write_text("provider:\n  timeout: 12.5\nupstream:\n  url: http://127.0.0.1:9200\n")
    secrets = {
        "HFPROXY_UPSTREAM_PASSWORD": "a-secret-password",
        "HFPROXY_STORE_PREVIOUS_KEY": "a-secret-key",
        "HFPROXY_UPSTREAM_USERNAME": "a-name",
    }
    done = run("check", "--config-only", "--config", str(path), env=secrets)
    assert done.returncode == 0, done.stderr
    shown = done.stdout + done.stderr
    for part in ("12.5", "http://127.0.0.1:9200", "a-name", "********"):
        assert part in shown
    for secret in ("a-secret-password", "a-secret-key", "6b6b6b"):
        assert secret not in shown


# An upstream that is away.


def test_an_upstream_that_is_down_is_waited_for(serve, elasticsearch, stub, own_index):
    port = free_ports()
    proxy = serve(upstream=f"http://127.0.0.1:{port}", env=own_index)
    proxy.wait_for(f"upstream [http://127.0.0.1:{port}] cannot be reached")
    assert proxy.output.count("answering 502 or 503 until it can") == 1, proxy.output
    assert "Traceback" not in proxy.output
    for target in ("/_cluster/health", "/an-index/_search?q=a", "/_inference/one", "/_inference"):
        assert_unavailable(send(proxy.url, "GET", target))
    assert_unavailable(put(proxy.url, "one", stub.url))
    with in_thread(Relay(URL(elasticsearch.url), port)):
        eventually(lambda: send(proxy.url, "GET", "/_cluster/health").status == 200)
        eventually(lambda: put(proxy.url, "one", stub.url).status == 200)
        assert infer(proxy.url, "one").status == 200
    assert "Traceback" not in proxy.output


def test_an_inference_goes_on_while_the_store_is_away(serve, elasticsearch, stub, own_index):
    port = free_ports()
    env = own_index | {"HFPROXY_STORE_FRESHNESS": "0"}
    with in_thread(Relay(URL(elasticsearch.url), port)):
        proxy = serve(upstream=f"http://127.0.0.1:{port}", env=env)
        assert put(proxy.url, "one", stub.url).status == 200
        answer = infer(proxy.url, "one")
        assert answer.status == 200
        assert answer.header("warning") is None
    answer = infer(proxy.url, "one")  # that security is off is still cached
    assert answer.status == 200
    assert "the configuration that was known last" in (answer.header("warning") or "")


def assert_unavailable(answer: Answer) -> None:
    """Check for 503 in Elasticsearch's error envelope."""
    assert answer.status == 503
    assert answer.header("content-type") == "application/json"
    body = orjson.loads(answer.content)
    assert body["status"] == 503
    assert body["error"]["reason"]
    (cause,) = body["error"]["root_cause"]
    assert {"type", "reason"} <= cause.keys()
    assert cause["type"] == body["error"]["type"]


# The end.


def answering(arrived: threading.Event, reply: Reply) -> Callable[[Call], Reply]:
    """A provider that lets endpoints be created; `arrived` is set when another request arrives."""

    def answer(call: Call) -> Reply:
        if b"how big" in call.body or call.method != "POST":
            return contract_reply(call)
        arrived.set()
        return reply

    return answer


def test_sigterm_lets_requests_finish(serve, elasticsearch, own_index):
    arrived = threading.Event()
    answer = answering(arrived, Reply(body=b"[[0.1]]", delay=1.0))
    with in_thread(FaultyServer(answer)) as provider, ThreadPoolExecutor() as pool:
        proxy = serve(upstream=elasticsearch.url, env=own_index)
        assert put(proxy.url, "slow", provider.url).status == 200
        under_way = pool.submit(infer, proxy.url, "slow")
        assert arrived.wait(10)
        proxy.terminate()
        answered = under_way.result(20)
        assert (answered.status, answered.content) == (
            200,
            b'{"text_embedding":[{"embedding":[0.1]}]}',
        )
        assert proxy.wait(10) == 0
    assert "Traceback" not in proxy.output


def test_sigterm_ends_within_the_drain_time(serve, elasticsearch, own_index):
    arrived = threading.Event()
    answer = answering(arrived, Reply(fault="hang"))
    env = own_index | {"HFPROXY_LIMITS_DRAIN_TIMEOUT": "1"}
    with in_thread(FaultyServer(answer)) as provider, ThreadPoolExecutor() as pool:
        proxy = serve(upstream=elasticsearch.url, env=env)
        assert put(proxy.url, "silent", provider.url).status == 200
        under_way = pool.submit(infer, proxy.url, "silent", 20)
        assert arrived.wait(10)
        begun = time.monotonic()
        proxy.terminate()
        assert proxy.wait(15) == 0
        assert 0.9 < time.monotonic() - begun < 15
        with pytest.raises((ConnectionError, HTTPException)):
            under_way.result(5)
    assert "Traceback" not in proxy.output


def test_an_idle_proxy_ends_at_once(serve, elasticsearch, own_index):
    proxy = serve(upstream=elasticsearch.url, env=own_index)
    assert send(proxy.url, "GET", "/_cluster/health").status == 200
    begun = time.monotonic()
    assert proxy.stop() == 0
    assert time.monotonic() - begun < 15
    with pytest.raises(ConnectionRefusedError):
        send(proxy.url, "GET", "/_cluster/health")


# Several workers, or several proxies, over one Elasticsearch.


def test_workers_share_an_address_and_end_together(serve, elasticsearch, own_index, stub):
    address = f"127.0.0.1:{free_ports()}"
    proxy = serve("--workers", "2", upstream=elasticsearch.url, listen=address, env=own_index)
    proxy.wait_for(f"listening on http://{address}", count=2)
    assert put(proxy.url, "shared", stub.url).status == 200
    assert {infer(proxy.url, "shared").status for _ in range(20)} == {200}
    assert proxy.stop() == 0
    with pytest.raises(ConnectionRefusedError):
        send(proxy.url, "GET", "/_cluster/health")


@pytest.mark.parametrize("kind", ["elasticsearch", "sqlite"])
def test_workers_begin_with_what_their_parent_has_imported(
    serve, elasticsearch, own_index, tmp_path, kind
):
    """So they begin at once, and share the memory of it."""
    store = ("--store", store_of(kind, tmp_path))
    env = own_index | {"PYTHONPROFILEIMPORTTIME": "1"}
    proxy = serve("--workers", "3", *store, upstream=elasticsearch.url, env=env)
    eventually(lambda: len(children_of(proxy.pid)) == 3)  # the first two have begun
    assert proxy.stop() == 0
    imported = Counter(
        line.rpartition("|")[2].strip()
        for line in proxy.output.splitlines()
        if line.startswith("import time:")
    )
    assert imported["proxy.serving.process"] == imported[f"proxy.store.{kind}.store"] == 1
    again = {name for name, times in imported.items() if times > 1}
    assert not {name for name in again if name.startswith(("proxy", "aiohttp", "cryptography"))}


def test_workers_share_a_free_port(serve, elasticsearch, own_index):
    proxy = serve("--workers", "2", upstream=elasticsearch.url, env=own_index)
    proxy.wait_for("listening on", count=2)
    assert proxy.output.count(f"listening on {proxy.url}") == 2


def test_a_worker_that_is_killed_is_replaced(serve, elasticsearch, own_index):
    proxy = serve("--workers", "2", upstream=elasticsearch.url, env=own_index)
    proxy.wait_for("listening on", count=2)
    os.kill(children_of(proxy.pid)[0], signal.SIGKILL)
    proxy.wait_for("listening on", count=3)
    assert send(proxy.url, "GET", "/_inference/_all").status == 200
    assert proxy.stop() == 0


@pytest.mark.parametrize("mistake", ["port", "key"])
def test_workers_refuse_a_bad_start_in_one_line(run, elasticsearch, own_index, mistake):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1] if mistake == "port" else 0
        env = own_index | ({"HFPROXY_STORE_ENCRYPTION_KEY": "short"} if mistake == "key" else {})
        arguments = ("serve", "--upstream", elasticsearch.url, "--listen", f"127.0.0.1:{port}")
        assert_refused(
            run(*arguments, "--workers", "2", env=env), mistake if port == 0 else str(port)
        )


def test_two_proxies_see_the_same_endpoints(serve, elasticsearch, own_index, stub):
    one, two = (serve(upstream=elasticsearch.url, env=own_index) for _ in range(2))
    assert put(one.url, "shared", stub.url).status == 200
    assert infer(two.url, "shared").status == 200
    assert put(two.url, "shared", stub.url).status == 400
    (listed,) = orjson.loads(send(two.url, "GET", "/_inference").content)["endpoints"]
    assert listed["inference_id"] == "shared"
    assert send(two.url, "DELETE", "/_inference/shared").status == 200
    eventually(lambda: infer(one.url, "shared").status == 404, within=5)


def test_of_two_that_create_the_same_endpoint_one_wins(serve, elasticsearch, own_index, stub):
    proxies = [serve(upstream=elasticsearch.url, env=own_index) for _ in range(2)]
    with ThreadPoolExecutor(8) as pool:
        for n in range(5):
            made = [pool.submit(put, proxies[i % 2].url, f"race-{n}", stub.url) for i in range(8)]
            statuses = sorted(future.result().status for future in made)
            assert statuses == [200] + [400] * 7


# The lane, and the application alone.


# Headers of one connection, and the time of day.
PER_HOP: Final = {"connection", "keep-alive", "transfer-encoding", "date"}


@pytest.fixture(scope="module")
def ways(serve_for_session: Serve, elasticsearch) -> dict[str, str]:
    """Two ways to one Elasticsearch, by name."""
    lane = serve_for_session(upstream=elasticsearch.url)
    alone = serve_for_session("--no-lane", upstream=elasticsearch.url)
    return {"lane": lane.url, "no-lane": alone.url}


def seen(answer: Answer) -> tuple[int, list[tuple[str, str]], bytes]:
    """What must be equal: status, headers as a multiset, body bytes."""
    pairs = [(name.lower(), value) for name, value in answer.headers]
    return answer.status, sorted(p for p in pairs if p[0] not in PER_HOP), answer.body


def test_inference_is_the_same_with_and_without_the_lane(ways, stub):
    delete_all_endpoints(ways["lane"])
    found: dict[str, list[Any]] = {}
    for way in ("lane", "no-lane"):
        url = ways[way]
        found[way] = [
            seen(put(url, "one", stub.url)),
            seen(put(url, "one", stub.url)),
            seen(infer(url, "one")),
            seen(put(url, "words", stub.url, "completion")),
            seen(send(url, "POST", "/_inference/words/_stream", JSON, b'{"input":"a"}')),
            seen(send(url, "GET", "/_inference/_all", [("Accept-Encoding", "gzip")])),
            seen(send(url, "HEAD", "/_inference/one")),
            seen(send(url, "OPTIONS", "/_inference/one")),
            seen(send(url, "GET", "/_inference/%zz")),
            seen(send(url, "GET", "/_inference/a/b/c")),
            seen(send(url, "POST", "/_inference/one", JSON, [b'{"inp', b'ut":"a"}'])),
            seen(send(url, "GET", "/_inference/_services")),
            seen(send(url, "DELETE", "/_inference/one")),
            seen(send(url, "DELETE", "/_inference/words")),
            seen(send(url, "GET", "/_inference/one")),
        ]
    assert found["lane"] == found["no-lane"]
    assert [status for status, _, _ in found["lane"][:4]] == [200, 400, 200, 200]


@pytest.mark.parametrize("method", ["FOO", "DESCRIBE", "PURGE"])
@pytest.mark.parametrize("way", ["lane", "no-lane"])
def test_an_unheard_of_method_is_not_allowed(ways, elasticsearch, way, method):
    """As Elasticsearch answers for its own paths."""
    direct = send(elasticsearch.url, method, "/_cluster/health")
    assert orjson.loads(direct.content)["error"].endswith(", allowed: [GET]")
    answer = send(ways[way], method, "/_inference")
    assert (answer.status, answer.content) == (direct.status, direct.content)
    for name in ("allow", "content-type", "x-elastic-product"):
        assert answer.header(name) == direct.header(name)
    assert answer.header("server") is None
    forwarded = send(ways[way], method, "/_cluster/health")
    assert forwarded.status == 405
    if way == "lane":
        assert forwarded == direct


def test_one_connection_serves_both_kinds_of_requests(ways: Mapping[str, str]):
    """Pipelined: forwarded answers and our own come in the order of the requests."""
    url = URL(ways["lane"])
    targets = ["/_cluster/health", "/_inference/nope", "/_cat/health", "/_inference"] * 3
    heads = "".join(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n" for target in targets[:-1])
    last = f"GET {targets[-1]} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with socket.create_connection((url.host or "", url.port or 0), timeout=20) as connection:
        connection.sendall((heads + last).encode())
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    statuses = re.findall(rb"HTTP/1\.1 (\d+)", received)
    assert statuses == [b"200", b"404", b"200", b"200"] * 3


def test_serve_says_where_it_listens(serve, elasticsearch, own_index):
    proxy: Server = serve(upstream=elasticsearch.url, env=own_index)
    line = next(line for line in proxy.output.splitlines() if "listening on" in line)
    assert f"{proxy.host}:{proxy.port}" in line
    assert proxy.port != 0
