"""What real proxies log, in front of real Elasticsearches."""

from __future__ import annotations

import json

import orjson

from tests.integration.leaks import configuration
from tests.support.endpoints import JSON, infer, put
from tests.support.rawhttp import send
from tests.support.security import wait_until_settled
from tests.support.stubs import FaultyServer, Reply, contract_reply, in_thread
from tests.support.users import basic, store_credentials


def test_a_start_is_summed_up_once_by_all_workers(serve, elasticsearch, own_index, stub):
    env = own_index | {"HFPROXY_LOG_FORMAT": "text"}
    proxy = serve("--workers", "2", upstream=elasticsearch.url, env=env)
    summary = f"upstream [{elasticsearch.url}] (version 9.2.4, security off)"
    line = proxy.wait_for(summary)
    assert ", store elasticsearch, 0 inference endpoints" in line
    proxy.wait_for("listening on", count=2)
    assert put(proxy.url, "one", stub.url).status == 200
    assert proxy.stop() == 0
    assert proxy.output.count(summary) == 1
    assert "other machines" not in proxy.output
    proxy = serve(upstream=elasticsearch.url, listen="0.0.0.0:0", env=env)
    assert ", 1 inference endpoints" in proxy.wait_for(summary)
    proxy.wait_for("other machines can reach http://0.0.0.0:")


def test_a_change_is_told_with_who_made_it(serve, secured_elasticsearch, own_index):
    wait_until_settled(secured_elasticsearch.url)
    env = own_index | store_credentials() | {"HFPROXY_LOG_FORMAT": "json"}
    with in_thread(FaultyServer(contract_reply)) as provider:
        proxy = serve(upstream=secured_elasticsearch.url, env=env)
        assert "security on" in proxy.wait_for(" inference endpoints")
        headers = [("Authorization", basic("admin")), ("X-Opaque-Id", "a-script"), *JSON]
        target, body = "/_inference/text_embedding/one", configuration(provider.url + "/embed")
        assert send(proxy.url, "PUT", target, headers, body).status == 200
        assert send(proxy.url, "DELETE", target, headers).status == 200
        deleted = json.loads(proxy.wait_for("deleted inference endpoint [one]"))
    assert (deleted["user"], deleted["http"]) == (
        {"name": "admin"},
        {"request": {"id": "a-script"}},
    )
    assert deleted["event"] == {"action": "inference-endpoint-deleted"}
    assert deleted["labels"] == {"inference_id": "one", "task_type": "text_embedding"}


def test_a_provider_that_fails_is_told(serve, elasticsearch, own_index):
    env = own_index | {"HFPROXY_LOG_FORMAT": "json", "HFPROXY_PROVIDER_RETRY_INITIAL_DELAY": "0"}
    with in_thread(FaultyServer(contract_reply)) as provider:
        proxy = serve(upstream=elasticsearch.url, env=env)
        assert put(proxy.url, "one", provider.url).status == 200
        reply = Reply(status=503, body=orjson.dumps({"error": "Model is overloaded"}))
        provider.answer = lambda _: reply
        for _ in range(3):
            assert infer(proxy.url, "one").status == 400
        told = json.loads(proxy.wait_for("provider of inference endpoint [one] failed"))
        assert proxy.stop() == 0
    assert "Error message: [Model is overloaded]" in told["message"]
    assert told["http"] == {"response": {"status_code": 503}}
    assert proxy.output.count("provider of inference endpoint [one] failed") == 1


def test_a_key_file_as_the_readme_has_it_made_is_taken_with_a_warning(
    serve, elasticsearch, own_index, stub, tmp_path
):
    file = tmp_path / "encryption.key"
    file.write_text("5c" * 32 + "\n")
    file.chmod(0o644)
    env = own_index | {
        "HFPROXY_STORE_ENCRYPTION_KEY": None,
        "HFPROXY_STORE_ENCRYPTION_KEY_FILE": str(file),
    }
    proxy = serve("--workers", "2", upstream=elasticsearch.url, env=env)
    proxy.wait_for("listening on", count=2)
    assert put(proxy.url, "one", stub.url).status == 200
    assert proxy.stop() == 0
    assert proxy.output.count("can be read by every user of this machine") == 1


def test_a_proxy_without_an_upstream_says_so_and_goes_on(serve):
    proxy = serve(env={"HFPROXY_LOG_FORMAT": "text"})
    proxy.wait_for(": no upstream, store sqlite, 0 inference endpoints")
    proxy.wait_for("WARNING there is no upstream: only _inference is served")
    assert send(proxy.url, "GET", "/_inference").status == 200
    assert proxy.stop() == 0
    assert "Traceback" not in proxy.output
