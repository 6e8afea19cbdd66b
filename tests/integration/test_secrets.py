"""Runs of a real proxy, and a search for secrets in all that they have produced."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen
from uuid import uuid4

import pytest

from testbed.processes import children_of, free_ports, proxy_command
from tests.integration.leaks import (
    KEY,
    OLD,
    SECRETS,
    Run,
    configuration,
    failures,
    mistakes,
    nonsense,
    refusals,
    uses,
)
from tests.support.processes import clean_environ
from tests.support.rawhttp import send
from tests.support.security import wait_until_settled
from tests.support.stubs import (
    Call,
    FaultyServer,
    contract_reply,
    in_thread,
)
from tests.support.traces import files_below, found_in, of_process
from tests.support.users import basic, store_credentials

PATIENCE: Final = {
    "HFPROXY_PROVIDER_RETRY_INITIAL_DELAY": "0.001",
    "HFPROXY_PROVIDER_RETRY_MAX_DELAY": "0.002",
}


# The search


@pytest.mark.parametrize("store", ["sqlite", "elasticsearch"])
@pytest.mark.parametrize("flags", [("--workers", "2"), ("--no-lane",)], ids=["lane", "no lane"])
def test_nothing_tells_a_secret(serve, secured_elasticsearch, tmp_path, flags, store):
    wait_until_settled(secured_elasticsearch.url)
    index = f"hugging-face-inference-endpoints-{uuid4().hex[:8]}"
    kind = f"sqlite:{tmp_path / 'store' / 'endpoints.db'}" if store == "sqlite" else store
    env = PATIENCE | store_credentials()
    env |= {"HFPROXY_STORE_ENCRYPTION_KEY": KEY.hex(), "HFPROXY_STORE_INDEX": index}
    env |= {
        "HFPROXY_LOG_LEVEL": "debug",
        "HFPROXY_LOG_FORMAT": "json" if store == "sqlite" else "text",
    }
    env |= {"PYTHONASYNCIODEBUG": "1", "XDG_STATE_HOME": str(tmp_path / "state")}
    admin = f"127.0.0.1:{free_ports(2)}"
    with ExitStack() as stack:
        provider = stack.enter_context(in_thread(FaultyServer(contract_reply)))
        proxy = serve(
            *flags, "--admin", admin, "--store", kind, upstream=secured_elasticsearch.url, env=env
        )
        run = Run(proxy, basic("admin"))
        uses(run, provider.url)
        mistakes(run, provider.url)
        failures(run, provider)
        refusals(run, provider.url, secured_elasticsearch.url)
        nonsense(run)
        found = run.answers | of_process(proxy)
        for path in ("/metrics", "/endpoints", "/readyz", "/livez"):
            found[path] = urlopen(f"http://{admin}{path}", timeout=20).read()
        found |= files_below(tmp_path) | stored(secured_elasticsearch.url, index)
        heard = {f"call {n}": said_to_provider(call) for n, call in enumerate(provider.calls)}
        assert proxy.stop() == 0
        found |= files_below(tmp_path) | of_elasticsearch(secured_elasticsearch)
        found["its output"] = proxy.output.encode()
    assert len(run.answers) > 500
    assert len(heard) > 200
    assert b"hugging_face" in b"".join(run.answers.values())
    assert OLD.encode() in heard["call 0"]  # otherwise the search proves nothing
    assert found_in(found, SECRETS) == []
    assert found_in(heard, {k: v for k, v in SECRETS.items() if "token" not in k}) == []


def said_to_provider(call: Call) -> bytes:
    return repr((call.method, call.target, dict(call.headers))).encode() + call.body


def stored(url: str, index: str) -> dict[str, bytes]:
    """What an administrator can read of the store."""
    headers = [("Authorization", basic("admin"))]
    return {
        target: send(url, "GET", target, headers).content
        for target in (
            f"/{index}*/_search?size=1000&expand_wildcards=all",
            f"/{index}*/_mapping?expand_wildcards=all",
            f"/{index}*/_settings?expand_wildcards=all",
            "/_cluster/state",
        )
    }


def of_elasticsearch(running: Any) -> dict[str, bytes]:
    """Its data and its log."""
    return files_below(running.data) | {"its log": running.log.read_bytes()}


# Commands, and ends


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Runs a command of the proxy until it ends, with KEY as its encryption key."""

    def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[bytes]:
        own = {"HFPROXY_STORE_ENCRYPTION_KEY": KEY.hex(), "HFPROXY_LOG_LEVEL": "debug", **env}
        return subprocess.run(
            proxy_command(*arguments),
            env=clean_environ(tmp_path / "state", own),
            capture_output=True,
            timeout=30,
        )

    return run


def written_by(done: subprocess.CompletedProcess[bytes]) -> dict[str, bytes]:
    return {"its output": done.stdout + done.stderr}


PASSWORD: Final = "a-marked-passw0rd"


@pytest.mark.parametrize(
    ("env", "code"),
    [
        ({}, 0),
        ({"HFPROXY_UPSTREAM_PASSWORD": PASSWORD, "HFPROXY_UPSTREAM_USERNAME": "me"}, 0),
        ({"HFPROXY_UPSTREAM_PASSWORD": PASSWORD, "HFPROXY_UPSTREAM_API_KEY": PASSWORD}, 1),
        ({"ELASTIC_API_KEY": PASSWORD, "ELASTICSEARCH_SERVICEACCOUNTTOKEN": PASSWORD}, 1),
        ({"ELASTICSEARCH_HOSTS": f"[{PASSWORD}"}, 1),
        ({"ELASTICSEARCH_TOKEN": PASSWORD, "ES_API_KEY": PASSWORD}, 0),
        ({"ELASTIC_API_KEY": PASSWORD, "HF_TOKEN": PASSWORD, "ANOTHER": PASSWORD}, 0),
        ({"HFPROXY_EGRESS_PROXY": f"http://me:{PASSWORD}@proxy.test:3128"}, 0),
        ({"HFPROXY_UPSTREAM_URL": f"http://me:{PASSWORD}@127.0.0.1:9200"}, 1),
        ({"HFPROXY_STORE_PREVIOUS_KEY": PASSWORD}, 0),
        ({"HFPROXY_WORKERS": PASSWORD}, 1),
        ({"HFPROXY_UPSTREAM_PASSWORD": PASSWORD, "HFPROXY_UPSTREAM_PASWORD": PASSWORD}, 1),
    ],
)
def test_check_tells_none_of_what_the_environment_holds(run, env, code):
    done = run("check", "--config-only", **env)
    assert done.returncode == code
    assert found_in(written_by(done), {"the password": PASSWORD, "the key": KEY}) == []
    done = run("check", **env)  # whatever it finds
    assert found_in(written_by(done), {"the password": PASSWORD, "the key": KEY}) == []


def test_a_configuration_file_that_is_broken_is_not_quoted(run, tmp_path):
    file = tmp_path / "proxy.yml"
    for text in ("upstream:\n  password: *{}", "upstream: {password: {}", "{}: 1", "- {}", "{}"):
        file.write_text(text.replace("{}", PASSWORD))
        for name in ("check", "serve", "rekey"):
            done = run(name, "--config", str(file))
            assert done.returncode == 1
            assert found_in(written_by(done), {"the password": PASSWORD}) == [], text


def test_no_change_of_keys_tells_one(serve, run, tmp_path):
    new = secrets.token_bytes(32)
    store = f"sqlite:{tmp_path / 'store' / 'endpoints.db'}"
    both = {"HFPROXY_STORE_ENCRYPTION_KEY": new.hex(), "HFPROXY_STORE_PREVIOUS_KEY": KEY.hex()}
    with in_thread(FaultyServer(contract_reply)) as provider:
        proxy = serve("--store", store, env={"HFPROXY_STORE_ENCRYPTION_KEY": KEY.hex()})
        requests = Run(proxy, None)
        target = "/_inference/text_embedding/one"
        assert requests("PUT", target, configuration(provider.url + "/embed")) == 200
        assert proxy.stop() == 0
    wrong = run("serve", "--store", store, HFPROXY_STORE_ENCRYPTION_KEY=new.hex())
    no_key = run("serve", "--store", store, HFPROXY_STORE_ENCRYPTION_KEY=PASSWORD)
    changed = run("rekey", "--store", store, **both)
    assert (wrong.returncode, no_key.returncode, changed.returncode) == (1, 1, 0)
    found = files_below(tmp_path)
    assert any(path.endswith("endpoints.db") for path in found)
    for number, done in enumerate((wrong, no_key, changed)):
        found[f"the output of command {number}"] = done.stdout + done.stderr
    assert found_in(found, {**SECRETS, "the new key": new, "no key": PASSWORD}) == []


def test_a_worker_that_crashes_leaves_no_core(serve, tmp_path):
    store = f"sqlite:{tmp_path / 'endpoints.db'}"
    with in_thread(FaultyServer(contract_reply)) as provider:
        proxy = serve("--store", store, "--workers", "2")
        requests = Run(proxy, None)
        target = "/_inference/text_embedding/one"
        assert requests("PUT", target, configuration(provider.url + "/embed")) == 200
        for worker in children_of(proxy.pid):
            limits = Path(f"/proc/{worker}/limits").read_text()
            assert re.search(r"Max core file size +0 +0 ", limits)
            os.kill(worker, signal.SIGABRT)
            proxy.wait_for(f"worker {worker} ended with -{int(signal.SIGABRT)}")
        assert proxy.stop() == 0
    found = files_below(tmp_path) | {"its output": proxy.output.encode()}
    assert found_in(found, SECRETS) == []
