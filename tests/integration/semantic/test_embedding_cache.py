"""Embeddings that real proxies keep: for fields, searches and requests, and after restarts."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.request import urlopen

import orjson
import pytest

from tests.support.layer import ENABLED, MAPPINGS, Caller, put_endpoint
from tests.support.processes import Serve
from tests.support.stubs import Call, FaultyServer, Reply, in_thread, json_reply

INDEX = "cached-notes"
TEXT = "a text that is told more than once"
QUERY = {"query": {"semantic": {"field": "body", "query": TEXT}}}
NO_CACHE = [("X-Embedding-Cache", "no-cache")]


def embedding(call: Call) -> Reply:
    return json_reply([[float(len(text)), 1.0, 0.5] for text in orjson.loads(call.body)["inputs"]])


@pytest.fixture(scope="module")
def provider() -> Iterator[FaultyServer]:
    with in_thread(FaultyServer(embedding)) as provider:
        yield provider


@pytest.fixture
def start(serve: Serve, elasticsearch, own_index, tmp_path):
    """Starts proxies that share a store and a file of embeddings."""
    env = {
        **ENABLED,
        **own_index,
        "HFPROXY_CACHE_BYTES": "1000000",
        "HFPROXY_CACHE_FILE": str(tmp_path / "cache" / "embeddings.db"),
    }

    def start():
        return serve("--admin", "127.0.0.1:0", upstream=elasticsearch.url, env=env)

    return start


def texts_by_source(server) -> dict[str, int]:
    told = server.wait_for("metrics on ")
    url = told.rpartition("metrics on ")[2].split('"')[0].strip()
    with urlopen(url, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    name = "hfproxy_embedding_cache_texts_total{"
    found = [line.partition(name)[2] for line in lines if line.startswith(name)]
    return {line.split('"')[1]: int(float(line.split()[-1])) for line in found}


def test_what_one_use_has_asked_for_serves_all_others(start, provider: FaultyServer):
    server = start()
    caller = Caller(server.url)
    put_endpoint(caller, provider.url)
    caller.ok("PUT", f"/{INDEX}", {"mappings": MAPPINGS})
    try:
        provider.calls.clear()
        for document in ("1", "2"):
            caller.ok("PUT", f"/{INDEX}/_doc/{document}?refresh=true", {"body": TEXT})
        assert len(caller.ok("POST", f"/{INDEX}/_search", QUERY)["hits"]["hits"]) == 2
        answer = caller.ok("POST", "/_inference/embed", {"input": [TEXT]})
        assert answer == {"text_embedding": [{"embedding": [float(len(TEXT)), 1.0, 0.5]}]}
        assert [call.json["inputs"] for call in provider.calls] == [[TEXT]]
        assert texts_by_source(server) == {"memory": 3, "file": 0, "provider": 1, "bypassed": 0}
        fresh = Caller(server.url, NO_CACHE)
        assert len(fresh.ok("POST", f"/{INDEX}/_search", QUERY)["hits"]["hits"]) == 2
        assert [call.json["inputs"] for call in provider.calls] == [[TEXT]] * 2
        assert fresh.ok("GET", f"/{INDEX}/_count")["count"] == 2  # which the proxy only passes on
    finally:
        caller("DELETE", f"/{INDEX}")


def test_what_is_in_the_file_outlasts_a_restart_but_not_its_endpoint(start, provider: FaultyServer):
    first = start()
    caller = Caller(first.url)
    put_endpoint(caller, provider.url)
    caller.ok("POST", "/_inference/embed", {"input": [TEXT]})
    assert first.stop() == 0
    server = start()
    caller = Caller(server.url)
    provider.calls.clear()
    caller.ok("POST", "/_inference/embed", {"input": [TEXT]})
    assert not provider.calls
    assert texts_by_source(server)["file"] == 1
    # Fields of other tests may name an endpoint like this one, in the same Elasticsearch.
    caller.ok("DELETE", "/_inference/embed?force=true")
    put_endpoint(caller, provider.url)
    provider.calls.clear()
    caller.ok("POST", "/_inference/embed", {"input": [TEXT]})
    assert len(provider.calls) == 1
