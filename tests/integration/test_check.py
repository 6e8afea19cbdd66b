"""`check` in front of real Elasticsearches: what it finds, and that it changes nothing."""

from __future__ import annotations

import subprocess
import time
from typing import Any
from uuid import uuid4

import orjson
import pytest
from yarl import URL

from testbed.processes import free_ports
from tests.support.certificates import certificate, contexts
from tests.support.endpoints import put
from tests.support.rawhttp import send
from tests.support.relays import Relay
from tests.support.security import wait_until_settled
from tests.support.stubs import in_thread
from tests.support.users import basic, store_credentials

OTHER_KEY = "7a" * 32
FREE = ("--listen", "127.0.0.1:0")


def lines(done: subprocess.CompletedProcess[str], code: int) -> list[str]:
    """The findings of a check that ended with this code."""
    assert done.stderr == ""
    assert done.returncode == code, done.stdout
    found = done.stdout.splitlines()
    assert ("error" in {line.partition(" ")[0] for line in found}) == bool(code)
    return found


def errors(found: list[str]) -> list[str]:
    return [line.removeprefix("error   ") for line in found if line.startswith("error ")]


def test_an_open_elasticsearch_and_nothing_made(run, elasticsearch, own_index, tmp_path):
    env = own_index | {"HFPROXY_STORE_ENCRYPTION_KEY": None}
    url, index = elasticsearch.url, own_index["HFPROXY_STORE_INDEX"]
    found = lines(run("check", "--upstream", url, *FREE, env=env), 0)
    assert found[3:] == [
        f"ok      upstream [{url}] answers",
        f"ok      upstream [{url}]: security is off, and nobody's credentials are checked",
        f"ok      upstream [{url}]: Elasticsearch {elasticsearch.version}",
        f"ok      upstream [{url}]: the licence is [basic]",
        f"ok      upstream [{url}] has no inference plugin: the proxy answers all of _inference",
        f"ok      store: the index [{index}] is not there yet: the proxy makes it",
        "ok      store: there is no encryption key yet, the first start makes one at "
        f"[{tmp_path}/state/hugging-face-proxy/encryption.key]: keep a copy of it",
    ]
    assert not (tmp_path / "state").exists()
    assert send(url, "GET", f"/{index}/_field_caps?fields=id").status == 404


def test_endpoints_a_foreign_key_and_an_index_of_somebody_else(
    serve, run, elasticsearch, own_index, stub
):
    arguments = ("check", "--upstream", elasticsearch.url, *FREE)
    proxy = serve(upstream=elasticsearch.url, env=own_index)
    assert put(proxy.url, "one", stub.url).status == 200
    assert lines(run(*arguments, env=own_index), 0)[-1] == (
        "ok      store: 1 inference endpoints can be used"
    )
    foreign = own_index | {"HFPROXY_STORE_ENCRYPTION_KEY": OTHER_KEY}
    (line,) = errors(lines(run(*arguments, env=foreign), 1))
    assert "holds inference endpoints sealed with the key" in line
    index = own_index["HFPROXY_STORE_INDEX"] + "-theirs"
    assert send(elasticsearch.url, "PUT", f"/{index}").status == 200
    (line,) = errors(lines(run(*arguments, env={"HFPROXY_STORE_INDEX": index}), 1))
    assert "is not as the proxy makes it" in line


def test_a_secured_elasticsearch(run, secured_elasticsearch, own_index):
    wait_until_settled(secured_elasticsearch.url)
    url, index = secured_elasticsearch.url, own_index["HFPROXY_STORE_INDEX"]
    found = lines(run("check", "--upstream", url, *FREE, env=own_index | store_credentials()), 0)
    assert f"ok      upstream [{url}]: security is on, and the proxy is [proxy]" in found
    for name in ("read", "write", "create_index"):
        told = f"the proxy has the privilege [{name}] on the index [{index}]"
        assert f"ok      store: {told}" in found


def test_credentials_that_are_wrong_missing_or_too_weak(run, secured_elasticsearch, own_index):
    wait_until_settled(secured_elasticsearch.url)
    arguments = ("check", "--upstream", secured_elasticsearch.url, *FREE)
    wrong = own_index | {
        "ELASTICSEARCH_USERNAME": "proxy",
        "ELASTICSEARCH_PASSWORD": "a-wrong-password",
    }
    done = run(*arguments, env=wrong)
    node, store = errors(lines(done, 1))
    told = "refuses the proxy's own credentials: [upstream.username] and [upstream.password] must"
    assert told in node
    assert told in store
    assert "a-wrong-password" not in done.stdout
    node, store = errors(lines(run(*arguments, env=own_index), 1))
    assert node.endswith("the proxy has no credentials for its store: set [upstream.api_key]")
    weak = own_index | {
        "HFPROXY_UPSTREAM_USERNAME": "nobody",
        "HFPROXY_UPSTREAM_PASSWORD": "nobody-password",
    }
    found = errors(lines(run(*arguments, env=weak), 1))
    for name in ("read", "write", "create_index"):
        assert f"the proxy lacks the privilege [{name}]" in " ".join(found)


def test_certificates(run, elasticsearch, own_index, tmp_path):
    server, _ = contexts(tmp_path)
    other = certificate(tmp_path / "other.pem")
    port = free_ports()
    with in_thread(Relay(URL(elasticsearch.url), port, server)):

        def check(url, **upstream):
            env = {f"HFPROXY_UPSTREAM_{name.upper()}": str(text) for name, text in upstream.items()}
            return run("check", "--upstream", url, *FREE, env=own_index | env)

        https = f"https://127.0.0.1:{port}"
        node = errors(lines(check(https, ca_file=other), 1))[0]
        assert "its certificate is not trusted" in node
        assert "in [upstream.ca_file]" in node
        right = lines(check(https, ca_file=tmp_path / "cert.pem"), 0)
        assert f"ok      upstream [{https}] answers" in right
        named = f"https://localhost:{port}"
        node = errors(lines(check(named, ca_file=tmp_path / "cert.pem"), 1))[0]
        assert "is for another host name" in node
        node = errors(lines(check(https, fingerprint="ab" * 32), 1))[0]
        assert "does not have the configured fingerprint" in node
        node = errors(lines(check(f"http://127.0.0.1:{port}"), 1))[0]
        assert "it speaks TLS: use https:// in [upstream.url]" in node
    node = errors(lines(check(elasticsearch.url.replace("http:", "https:")), 1))[0]
    assert "it does not speak TLS: use http:// in [upstream.url]" in node


def test_a_dead_node_is_an_error_unless_another_works(run, elasticsearch, own_index):
    dead = f"http://127.0.0.1:{free_ports()}"
    node, store = errors(lines(run("check", "--upstream", dead, *FREE, env=own_index), 1))
    assert node == f"upstream [{dead}]: it cannot be reached: Connection refused"
    assert "The endpoint store cannot be reached" in store
    both = f"{dead},{elasticsearch.url}"
    found = lines(run("check", "--upstream", both, *FREE, env=own_index), 0)
    assert f"warning upstream [{dead}]: it cannot be reached: Connection refused" in found


def test_nodes_that_hang_take_ten_seconds_at_most(run, own_index):
    with in_thread(Silent(URL("http://127.0.0.1"))) as silent:
        began = time.monotonic()
        found = lines(run("check", "--upstream", silent.url, *FREE, env=own_index), 1)
        took = time.monotonic() - began
    assert any("did not answer in time" in line for line in errors(found))
    assert took < 15  # with the start of Python on a busy machine


class Silent(Relay):
    """Accepts connections, and never answers."""

    async def serve(self, reader: Any, writer: Any) -> None:
        await reader.read()


def test_without_an_upstream(run, tmp_path):
    store = f"sqlite:{tmp_path}/new/endpoints.db"
    found = lines(run("check", *FREE, "--store", store), 0)
    assert "warning [upstream.url] is not set: only _inference is served" in found
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["ELASTICSEARCH_HOSTS", "ES_URL"])
def test_the_names_of_others_are_used_by_the_whole_proxy(serve, elasticsearch, own_index, name):
    env = own_index | {name: f'["{elasticsearch.url}/"]', "ELASTICSEARCH_PASSWD": "x"}
    proxy = serve(env=env)
    assert send(proxy.url, "GET", "/_cluster/health").status == 200
    assert "[ELASTICSEARCH_PASSWD] is not understood, and has no effect" in proxy.output


def test_a_service_account_token_is_the_proxys_identity(run, secured_elasticsearch, own_index):
    wait_until_settled(secured_elasticsearch.url)
    url = secured_elasticsearch.url
    headers = [("Authorization", basic("admin")), ("Content-Type", "application/json")]
    target = f"/_security/service/elastic/fleet-server/credential/token/{uuid4().hex}"
    answer = send(url, "POST", target, headers, b"")
    assert answer.status == 200, answer.content
    token = orjson.loads(answer.content)["token"]["value"]
    env = own_index | {"ELASTICSEARCH_SERVICEACCOUNTTOKEN": token}
    done = run("check", "--upstream", url, *FREE, env=env)
    told = f"upstream [{url}]: security is on, and the proxy is [elastic/fleet-server]"
    assert f"ok      {told}" in lines(done, 1)
    assert all("lacks the privilege" in line for line in errors(lines(done, 1)))
    assert token not in done.stdout
