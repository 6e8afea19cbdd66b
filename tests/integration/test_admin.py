"""The admin listener of real proxies in front of a real Elasticsearch."""

from __future__ import annotations

import re
import socket
from urllib.request import urlopen

import orjson
import pytest
from yarl import URL

from testbed.processes import ROOT, free_ports
from tests.integration.test_serve import OTHER_KEY, assert_refused, store_of
from tests.support.endpoints import infer, put
from tests.support.processes import KEY
from tests.support.rawhttp import send
from tests.support.relays import Relay
from tests.support.stubs import in_thread
from tests.support.waiting import eventually


def where(proxy):
    """The URL of a proxy's metrics."""
    return proxy.wait_for("metrics on ").rpartition("metrics on ")[2].split('"')[0].strip()


def read(url):
    with urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def ready(base):
    answer = send(base, "GET", "/readyz", timeout=10)
    return answer.status, orjson.loads(answer.body)


def test_readiness_follows_the_upstream(serve, elasticsearch, own_index):
    port = free_ports()
    env = own_index | {"HFPROXY_UPSTREAM_CONNECT_TIMEOUT": "1"}
    proxy = serve("--admin", "127.0.0.1:0", upstream=f"http://127.0.0.1:{port}", env=env)
    base = where(proxy).removesuffix("/metrics")
    assert send(base, "GET", "/livez").status == 200
    status, body = ready(base)
    assert (status, body["status"]) == (503, "unavailable")
    assert "cannot be reached" in body["upstream"]
    with in_thread(Relay(URL(elasticsearch.url), port)):
        eventually(lambda: ready(base)[0] == 200)
        assert ready(base)[1] == {"status": "ok", "store": "ok", "upstream": "ok"}


@pytest.mark.parametrize("kind", ["elasticsearch", "sqlite"])
def test_it_is_not_ready_once_the_key_has_been_changed_elsewhere(
    serve, run, elasticsearch, own_index, stub, tmp_path, kind
):
    store = ("--store", store_of(kind, tmp_path))
    proxy = serve(*store, "--admin", "127.0.0.1:0", upstream=elasticsearch.url, env=own_index)
    base = where(proxy).removesuffix("/metrics")
    assert put(proxy.url, "one", stub.url).status == 200
    assert ready(base)[0] == 200
    new_key = own_index | {
        "HFPROXY_STORE_ENCRYPTION_KEY": OTHER_KEY,
        "HFPROXY_STORE_PREVIOUS_KEY": KEY,
    }
    done = run("rekey", *store, "--upstream", elasticsearch.url, env=new_key)
    assert done.returncode == 0, done.stderr
    eventually(lambda: ready(base)[0] == 503)
    _, body = ready(base)
    assert (body["status"], body["upstream"]) == ("unavailable", "ok")
    assert "sealed with the key" in body["store"]
    eventually(lambda: infer(proxy.url, "one").status == 500)
    assert send(proxy.url, "DELETE", "/_inference/one").status == 200
    eventually(lambda: ready(base)[0] == 200)


def test_metrics_count_a_real_inference(serve, elasticsearch, own_index, stub):
    proxy = serve("--admin", "127.0.0.1:0", upstream=elasticsearch.url, env=own_index)
    url = where(proxy)
    assert put(proxy.url, "one", stub.url).status == 200
    assert infer(proxy.url, "one").status == 200
    shown = read(url)
    assert 'hfproxy_requests_total{route="infer",status="200"} 1.0' in shown
    assert 'hfproxy_provider_calls_total{status="200",task="text_embedding"} 2.0' in shown
    assert "hfproxy_connections " in shown
    assert "process_resident_memory_bytes" in shown


def test_every_figure_is_in_the_documentation(serve, tmp_path, own_index):
    env = own_index | {
        "HFPROXY_SEMANTIC_ENABLED": "true",
        "HFPROXY_CACHE_BYTES": "1000",
    }
    store = ("--store", store_of("sqlite", tmp_path))
    upstream = f"http://127.0.0.1:{free_ports()}"
    proxy = serve(*store, "--admin", "127.0.0.1:0", upstream=upstream, env=env)
    shown = set(re.findall("^# HELP (hfproxy_[a-z_]+)", read(where(proxy)), re.M))
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    assert shown == set(re.findall(r"^\| `(hfproxy_[a-z_]+)`", page, re.M))


def test_a_taken_port_is_told_at_once_if_it_was_asked_for(run, serve, elasticsearch, own_index):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        address = f"127.0.0.1:{busy.getsockname()[1]}"
        arguments = ("serve", "--upstream", elasticsearch.url, "--listen", "127.0.0.1:0")
        assert_refused(run(*arguments, "--admin", address, env=own_index), "admin.listen", address)


def test_proxies_side_by_side_serve_though_only_one_has_the_default_port(
    serve, elasticsearch, own_index
):
    env = own_index | {"HFPROXY_ADMIN_LISTEN": None}
    proxies = [serve(upstream=elasticsearch.url, env=env) for _ in range(2)]
    for proxy in proxies:
        assert send(proxy.url, "GET", "/_cluster/health").status == 200
    told = proxies[1].wait_for("no metrics: cannot listen on [127.0.0.1:9280]")
    assert "admin.listen" in told


def test_each_worker_tells_its_own_figures(serve, elasticsearch, own_index):
    port = free_ports(2)
    proxy = serve(
        *("--workers", "2", "--admin", f"127.0.0.1:{port}"),
        upstream=elasticsearch.url,
        env=own_index,
    )
    proxy.wait_for(f"metrics on http://127.0.0.1:{port + 1}/metrics")
    pids = {
        read(f"http://127.0.0.1:{port + n}/metrics").count("hfproxy_calls_open") for n in (0, 1)
    }
    assert pids == {3}  # help, type, value


@pytest.mark.parametrize("spelling", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
def test_no_endpoint_can_point_at_it(serve, elasticsearch, own_index, spelling):
    proxy = serve("--admin", "127.0.0.1:0", upstream=elasticsearch.url, env=own_index)
    port = where(proxy).rpartition(":")[2].partition("/")[0]
    answer = put(proxy.url, "one", f"http://{spelling}:{port}")
    assert answer.status == 400
    assert "its address is not allowed" in answer.text


def test_it_answers_while_the_proxy_ends(serve, elasticsearch, own_index, stub):
    proxy = serve("--admin", "127.0.0.1:0", upstream=elasticsearch.url, env=own_index)
    base = where(proxy).removesuffix("/metrics")
    with socket.create_connection((proxy.host, proxy.port)) as caller:
        head = b"POST /_inference/x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
        caller.sendall(head + b"Content-Length: 9\r\n\r\n")
        assert caller.recv(100).startswith(b"HTTP/1.1 100 ")  # it is under way
        caller.sendall(b"{")
        proxy.terminate()
        eventually(lambda: ready(base)[1].get("proxy") == "stopping")
    assert proxy.wait() == 0
