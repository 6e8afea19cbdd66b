"""What the figures tell of semantic fields that are really written to and searched."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from urllib.request import urlopen
from uuid import uuid4

import orjson
import pytest

from tests.support.layer import ENABLED, MAPPINGS, Caller, put_endpoint
from tests.support.processes import Serve
from tests.support.stubs import Call, FaultyServer, Reply, in_thread, json_reply

INDEX = "figures-notes"
FIGURES = Callable[[], "Counter[str]"]


def embedding(call: Call) -> Reply:
    texts = orjson.loads(call.body)["inputs"]
    if any("BOOM" in text for text in texts):
        return json_reply({"error": "boom"}, 400)
    return json_reply([[len(text), 1.0, 0.5] for text in texts])


@pytest.fixture(scope="module")
def proxy(serve_for_session: Serve, elasticsearch) -> Iterator[tuple[Caller, str]]:
    """A caller of a proxy, and where its figures are."""
    env = {
        **ENABLED,
        "HFPROXY_STORE_INDEX": f"hugging-face-inference-endpoints-{uuid4().hex[:8]}",
    }
    with in_thread(FaultyServer(embedding)) as provider:
        server = serve_for_session("--admin", "127.0.0.1:0", upstream=elasticsearch.url, env=env)
        caller = Caller(server.url)
        put_endpoint(caller, provider.url)
        told = server.wait_for("metrics on ")
        yield caller, told.rpartition("metrics on ")[2].split('"')[0].strip()


@pytest.fixture
def caller(proxy) -> Iterator[Caller]:
    caller, _ = proxy
    caller.ok("PUT", f"/{INDEX}", {"mappings": MAPPINGS})
    yield caller
    caller("DELETE", f"/{INDEX}")


@pytest.fixture
def risen(caller, proxy) -> FIGURES:
    """By how much the figures of the layer have risen since the test began."""
    _, url = proxy

    def read() -> Counter[str]:
        with urlopen(url, timeout=10) as answer:
            found = re.findall(r"^hfproxy_semantic_(\S+) (\S+)$", answer.read().decode(), re.M)
        return Counter({name: int(float(value)) for name, value in found})

    before = read()
    return lambda: read() - before


def requests(kind: str, outcome: str) -> str:
    return f'requests_total{{kind="{kind}",outcome="{outcome}"}}'


def test_texts_are_counted_by_what_they_are_for(caller: Caller, risen: FIGURES):
    caller.ok("PUT", f"/{INDEX}/_doc/1?refresh=true", {"body": ["one", "two"]})
    query = {"query": {"semantic": {"field": "body", "query": "three"}}}
    caller.ok("POST", f"/{INDEX}/_search", query)
    assert risen() == {
        'texts_total{use="documents"}': 2,
        'texts_total{use="queries"}': 1,
        requests("write", "translated"): 1,
        requests("search", "translated"): 1,
    }


def test_what_needs_nothing_is_passed_on(caller: Caller, risen: FIGURES):
    action = {"index": {"_index": "figures-plain", "_id": "1"}}
    caller.ok("POST", "/_bulk?refresh=true", [action, {"body": "one"}])
    caller.ok("POST", "/figures-plain/_search", {"query": {"term": {"body": '"semantic"'}}})
    caller.ok("DELETE", "/figures-plain")
    found = risen()
    assert found[requests("write", "passed_on")] == 1
    assert found[requests("search", "passed_on")] == 1
    assert not [name for name in found if "translated" in name or "texts" in name]


def test_documents_that_fail_are_counted_by_reason(caller: Caller, risen: FIGURES):
    action = {"index": {"_index": INDEX}}
    once = {"create": {"_index": INDEX, "_id": "1"}}
    lines = [action, {"body": "BOOM"}, action, {"body": {"an": "object"}}, once, {}, once, {}]
    answer = orjson.loads(caller("POST", "/_bulk", lines).content)
    failed = [one for item in answer["items"] for one in item.values() if "error" in one]
    assert len(failed) == 3
    assert caller("PUT", f"/{INDEX}/_doc/2", {"body": "BOOM"}).status == 400
    found = risen()
    assert {name: count for name, count in found.items() if "failures" in name} == {
        'document_failures_total{reason="provider"}': 2,
        'document_failures_total{reason="document"}': 1,
        'document_failures_total{reason="conflict"}': 1,
    }
    assert found[requests("write", "translated")] == 1
    assert found[requests("write", "failed")] == 1


def test_a_search_that_the_proxy_refuses_has_failed(caller: Caller, risen: FIGURES):
    query = {"query": {"semantic": {"field": "body"}}}
    assert caller("POST", f"/{INDEX}/_search", query).status == 400
    assert risen() == {requests("search", "failed"): 1}
