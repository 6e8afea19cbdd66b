"""Several workers of one proxy: what one of them has changed, all know at once."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.support.layer import ENABLED, FIELD, HIDDEN, MAPPINGS, Caller, is_filled, put_endpoint
from tests.support.stubs import FaultyServer, contract_reply, in_thread

WORKERS = 3
WRITES = 12  # each over a connection of its own, so that every worker gets some
NEVER = {"HFPROXY_SEMANTIC_REFRESH": "3600"}  # they look when they start, and for their callers
TEXT = {"body": "the tide goes out"}
ONE_SHARD = {"number_of_shards": 1, "number_of_replicas": 0}


@pytest.fixture(scope="module")
def proxy(serve_for_session, elasticsearch) -> Iterator[Caller]:
    env = {
        **ENABLED,
        **NEVER,
        "HFPROXY_STORE_INDEX": f"hugging-face-inference-endpoints-{uuid4().hex[:8]}",
    }
    flags = ("--workers", str(WORKERS))
    with in_thread(FaultyServer(contract_reply)) as provider:
        server = serve_for_session(*flags, upstream=elasticsearch.url, env=env)
        server.wait_for("listening on", count=WORKERS)
        caller = Caller(server.url)
        put_endpoint(caller, provider.url)
        yield caller


@pytest.fixture
def index(elasticsearch) -> Iterator[str]:
    name = f"workers-{uuid4().hex[:8]}"
    yield name
    Caller(elasticsearch.url)("DELETE", f"/{name}")


def write(proxy: Caller, index: str, kind: str) -> None:
    for number in range(WRITES):
        document = f"{kind}-{number}"
        if kind == "bulk":
            proxy.ok("POST", "/_bulk", [{"index": {"_index": index, "_id": document}}, TEXT])
        else:
            proxy.ok("PUT", f"/{index}/_doc/{document}", TEXT)


@pytest.mark.parametrize("kind", ["bulk", "single"])
def test_a_new_index_is_known_to_all_workers(proxy, elasticsearch, index, kind):
    proxy.ok("PUT", f"/{index}", {"settings": ONE_SHARD})
    write(proxy, index, "plain")  # all of them see the cluster as it is
    proxy.ok("DELETE", f"/{index}")
    proxy.ok("PUT", f"/{index}", {"settings": ONE_SHARD, "mappings": MAPPINGS})
    write(proxy, index, kind)
    direct = Caller(elasticsearch.url)
    missing = [n for n in range(WRITES) if not is_filled(direct, index, f"{kind}-{n}")]
    assert missing == []


def test_a_field_added_to_an_index_that_all_workers_know_as_plain(proxy, elasticsearch, index):
    proxy.ok("PUT", f"/{index}", {"settings": ONE_SHARD})
    write(proxy, index, "plain")
    proxy.ok("PUT", f"/{index}/_mapping", {"properties": {"meaning": FIELD}})
    for number in range(WRITES):
        proxy.ok("PUT", f"/{index}/_doc/{number}", {"meaning": TEXT["body"]})
    direct = Caller(elasticsearch.url)
    shown = [direct.ok("GET", f"/{index}/_doc/{number}") for number in range(WRITES)]
    assert all(HIDDEN in one["_source"] for one in shown)
