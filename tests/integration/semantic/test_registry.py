"""How soon a proxy knows of semantic fields that others have made, moved or removed."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import pytest

from tests.support.layer import ENABLED, FIELD, HIDDEN, MAPPINGS, Caller, is_filled, put_endpoint
from tests.support.stubs import FaultyServer, contract_reply, in_thread

NEVER = {"HFPROXY_SEMANTIC_REFRESH": "3600"}  # it looks by itself when it starts, and no more
TEXT = {"body": "the tide comes in"}
ONE_SHARD = {"number_of_shards": 1, "number_of_replicas": 0}


@dataclass(frozen=True)
class Stage:
    one: Caller  # a proxy
    two: Caller  # another one, which does not look by itself
    direct: Caller  # to the upstream
    name: str  # before all names of a test


@pytest.fixture(scope="module")
def proxies(serve_for_session, elasticsearch):
    env = ENABLED | {"HFPROXY_STORE_INDEX": f"hugging-face-inference-endpoints-{uuid4().hex[:8]}"}
    one = Caller(serve_for_session(upstream=elasticsearch.url, env=env).url)
    direct = Caller(elasticsearch.url)
    # Where no index has such a field, one flag says so for all names, until the next look.
    one.ok("PUT", "/registry-base", {"settings": ONE_SHARD, "mappings": MAPPINGS})
    with in_thread(FaultyServer(contract_reply)) as provider:
        put_endpoint(one, provider.url)
        two = serve_for_session(upstream=elasticsearch.url, env=env | NEVER)
        yield one, Caller(two.url), direct
    direct("DELETE", "/registry-base")


@pytest.fixture
def stage(proxies) -> Iterator[Stage]:
    one, two, direct = proxies
    name = f"reg-{uuid4().hex[:8]}"
    yield Stage(one, two, direct, name)
    for found in direct.ok("GET", f"/_cat/indices/{name}*?format=json&expand_wildcards=all"):
        direct("DELETE", f"/{found['index']}")
    direct("DELETE", f"/_index_template/{name}*")
    direct("DELETE", f"/_template/{name}*")


def write(caller: Caller, index: str, document: str = "1") -> None:
    caller.ok("PUT", f"/{index}/_doc/{document}", TEXT)


def test_a_field_made_by_one_proxy_is_known_to_the_other_at_the_first_request(stage):
    stage.one.ok("PUT", f"/{stage.name}", {"settings": ONE_SHARD, "mappings": MAPPINGS})
    write(stage.two, stage.name)
    assert is_filled(stage.direct, stage.name, "1")
    assert (
        stage.two.ok("GET", f"/{stage.name}/_mapping")[stage.name]["mappings"]["properties"][
            "body"
        ]["inference_id"]
        == "embed"
    )


def test_a_field_added_to_an_index_known_as_plain_is_known_within_a_second(stage):
    index = stage.name
    stage.one.ok("PUT", f"/{index}", {"settings": ONE_SHARD})
    stage.one.ok("GET", f"/{index}/_search")
    stage.two.ok("PUT", f"/{index}/_mapping", {"properties": {"body": FIELD}})
    write(stage.two, index)  # whoever makes a field knows it at once
    assert is_filled(stage.direct, index, "1")
    deadline = time.monotonic() + 1.5  # a second, and what a busy machine needs
    while HIDDEN in stage.one("GET", f"/{index}/_doc/1").text:
        assert time.monotonic() < deadline


def test_a_clone_and_a_rolled_over_index_are_known_at_once(stage):
    first = f"{stage.name}-000001"
    body = {"settings": ONE_SHARD, "mappings": MAPPINGS, "aliases": {stage.name: {}}}
    stage.one.ok("PUT", f"/{first}", body)
    stage.two.ok("PUT", f"/{first}/_settings", {"index.blocks.write": True})
    stage.two.ok("POST", f"/{first}/_clone/{stage.name}-copy", {})
    stage.two.ok("PUT", f"/{stage.name}-copy/_settings", {"index.blocks.write": None})
    write(stage.two, f"{stage.name}-copy")
    assert is_filled(stage.direct, f"{stage.name}-copy", "1")
    new = {"mappings": MAPPINGS, "settings": ONE_SHARD}
    stage.two.ok("POST", f"/{stage.name}/_rollover", new)
    write(stage.two, stage.name, "2")
    assert is_filled(stage.direct, f"{stage.name}-000002", "2")


def test_an_alias_that_a_caller_moves_is_followed_at_once(stage):
    plain, full = f"{stage.name}-a", f"{stage.name}-b"
    stage.one.ok("PUT", f"/{plain}", {"settings": ONE_SHARD, "aliases": {stage.name: {}}})
    stage.one.ok("PUT", f"/{full}", {"settings": ONE_SHARD, "mappings": MAPPINGS})
    write(stage.two, stage.name)
    move = [
        {"remove": {"index": plain, "alias": stage.name}},
        {"add": {"index": full, "alias": stage.name}},
    ]
    stage.two.ok("POST", "/_aliases", {"actions": move})
    write(stage.two, stage.name, "2")
    assert is_filled(stage.direct, full, "2")


@pytest.mark.parametrize("write_index", ["a", "c"])
def test_documents_go_where_the_alias_says(stage, write_index):
    """The index that is written to is neither the first nor the last by name, nor semantic only."""
    for letter in "abc":
        mappings = MAPPINGS if letter != "c" else {"properties": {"title": {"type": "text"}}}
        alias = {stage.name: {"is_write_index": letter == write_index}}
        body = {"settings": ONE_SHARD, "mappings": mappings, "aliases": alias}
        stage.one.ok("PUT", f"/{stage.name}-{letter}", body)
    write(stage.two, stage.name)
    index = f"{stage.name}-{write_index}"
    assert is_filled(stage.direct, index, "1") == (write_index == "a")
    assert HIDDEN not in stage.direct("GET", f"/{stage.name}-c/_mapping").text, (
        "vectors went to an index without them"
    )


@pytest.mark.parametrize("kind", ["_index_template", "_template"])
def test_an_index_that_a_template_makes_is_known_at_its_first_document(stage, kind):
    inner = {"settings": ONE_SHARD, "mappings": MAPPINGS}
    body = {"template": inner} if kind == "_index_template" else inner
    pattern = {"index_patterns": [f"{stage.name}-*"]}
    stage.one.ok("PUT", f"/{kind}/{stage.name}", {**body, **pattern})
    index = f"{stage.name}-1"
    assert stage.two("GET", f"/{index}/_search").status == 404
    stage.two.ok("GET", f"/{stage.name}*/_search")  # a pattern that stands for nothing yet
    stage.two.ok("POST", "/_bulk", [{"index": {"_index": index, "_id": "1"}}, TEXT])
    assert is_filled(stage.direct, index, "1")
    stage.direct.ok("POST", f"/{index}/_refresh")
    assert HIDDEN not in stage.two("GET", f"/{stage.name}*/_search").text


def test_an_index_made_anew_by_somebody_else_is_not_spoilt(stage):
    index = stage.name
    stage.two.ok("PUT", f"/{index}", {"settings": ONE_SHARD, "mappings": MAPPINGS})
    write(stage.two, index)
    stage.direct.ok("DELETE", f"/{index}")
    stage.direct.ok("PUT", f"/{index}", {"settings": ONE_SHARD})
    stage.two("PUT", f"/{index}/_doc/1", TEXT)
    assert HIDDEN not in stage.direct("GET", f"/{index}/_mapping").text


@pytest.mark.parametrize(
    "spelling", ["{}", "{},", "%72eg{}", "{}::data", "{}/", "<{}>", "{}*,-other", "{}*"]
)
def test_every_spelling_of_a_name_is_seen_through(stage, spelling):
    index = stage.name
    stage.one.ok("PUT", f"/{index}", {"settings": ONE_SHARD, "mappings": MAPPINGS})
    write(stage.one, index)
    stage.direct.ok("POST", f"/{index}/_refresh")
    name = index.removeprefix("reg") if spelling.startswith("%") else index
    path = spelling.format(name).replace("<", "%3C").replace(">", "%3E")
    if not path.endswith("/"):
        path += "/_search"
    answer = stage.two("GET", f"/{path}")
    assert answer.status == 200, answer.text
    assert "tide" in answer.text or "semantic_text" in answer.text
    assert HIDDEN not in answer.text


def test_a_body_in_the_url_is_read(stage):
    index = stage.name
    stage.one.ok("PUT", f"/{index}", {"settings": ONE_SHARD, "mappings": MAPPINGS})
    write(stage.one, index)
    stage.direct.ok("POST", f"/{index}/_refresh")
    query = (
        "%7B%22query%22:%7B%22semantic%22:%7B%22field%22:%22body%22,%22query%22:%22sea%22%7D%7D%7D"
    )
    target = f"/{index}/_search?source={query}&source_content_type=application/json"
    found = stage.one.ok("GET", target)
    assert [hit["_id"] for hit in found["hits"]["hits"]] == ["1"]
    assert HIDDEN not in str(found)


def test_what_others_ask_for_is_not_held_up_by_names_that_are_none(stage):
    stage.one.ok("PUT", f"/{stage.name}", {"settings": ONE_SHARD, "mappings": MAPPINGS})
    for target in (
        "/UPPER/_search",
        "/a%20b/_search",
        "/%FF/_search",
        "/far:away/_search",
        "/,/_search?size=0&filter_path=timed_out",
    ):
        through, direct = stage.two("GET", target), stage.direct("GET", target)
        assert through.status == direct.status, target
        assert re.sub(r'"took":\d+', "", through.text) == re.sub(r'"took":\d+', "", direct.text)
