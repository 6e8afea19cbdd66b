"""`native` with a real proxy and Elasticsearch; tests/support/licensed.py is the other side."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import orjson
import pytest

from testbed.processes import Server, proxy_command
from tests.support.layer import ENABLED, FIELD, Caller, is_filled, put_endpoint
from tests.support.licensed import INFERENCE, Licensed
from tests.support.processes import Serve, clean_environ
from tests.support.stubs import Call, FaultyServer, Reply, in_thread, json_reply
from tests.support.users import basic, store_credentials
from tests.support.waiting import eventually

OLD, NEW = "native-old", "native-new"
MAPPINGS = {
    "properties": {
        "body": FIELD,
        "title": {"type": "text", "copy_to": "all"},
        "all": FIELD,
        "own": {"type": "dense_vector", "dims": 2},
    }
}
MODEL = {
    "service": "hugging_face",
    "task_type": "text_embedding",
    "dimensions": 3,
    "similarity": "cosine",
    "element_type": "float",
}
Run = Callable[..., subprocess.CompletedProcess[str]]


def embedding(call: Call) -> Reply:
    return json_reply([[len(text), 1.0, 0.5] for text in orjson.loads(call.body)["inputs"]])


@pytest.fixture(scope="module")
def provider() -> Iterator[FaultyServer]:
    with in_thread(FaultyServer(embedding)) as provider:
        yield provider


@pytest.fixture(scope="module")
def start(serve_for_session: Serve, elasticsearch, provider) -> Callable[[], Server]:
    """Starts a proxy with an endpoint of its own."""

    def start() -> Server:
        index = {"HFPROXY_STORE_INDEX": f"hugging-face-inference-endpoints-{uuid4().hex[:8]}"}
        server = serve_for_session(upstream=elasticsearch.url, env={**ENABLED, **index})
        put_endpoint(Caller(server.url), provider.url)
        return server

    return start


@pytest.fixture(scope="module")
def proxy(start) -> Server:
    server: Server = start()
    return server


@pytest.fixture(scope="module")
def other(start) -> Caller:
    """A proxy with an endpoint of the same name, in a store of its own."""
    return Caller(start().url)


@pytest.fixture
def direct(elasticsearch) -> Iterator[Caller]:
    """Past every proxy."""
    caller = Caller(elasticsearch.url)
    yield caller
    for name in (OLD, NEW):
        caller("DELETE", f"/{name}")


@pytest.fixture
def caller(proxy: Server, direct: Caller) -> Caller:
    """Whoever uses the proxy; the index OLD has four documents, one of them without vectors."""
    caller = Caller(proxy.url)
    aliases = {"native-alias": {"filter": {"term": {"kind": "a"}}}}
    caller.ok("PUT", f"/{OLD}", {"mappings": MAPPINGS, "aliases": aliases})
    lines = [
        {"index": {"_id": "1"}},
        {"body": ["one", "two"], "title": "three", "kind": "a", "own": [1, 2]},
        {"index": {"_id": "2", "routing": "r"}},
        {"body": "four", "kind": "b"},
        {"index": {"_id": "3"}},
        {"body": " ", "title": "five"},
    ]
    caller.ok("POST", f"/{OLD}/_bulk?refresh=true", lines)
    caller.ok("PUT", f"/{OLD}/_doc/1?refresh=true", lines[1])
    direct.ok("PUT", f"/{OLD}/_doc/4?refresh=true", {"body": "past the proxy"})
    return caller


@pytest.fixture
def licensed(elasticsearch) -> Iterator[tuple[Licensed, str]]:
    told = Licensed(elasticsearch.url)
    with in_thread(FaultyServer(told)) as server:
        yield told, server.url


@pytest.fixture
def native(proxy: Server, tmp_path) -> Run:
    """Runs the command between the proxy and what is given as the Elasticsearch."""

    def native(upstream: str, *flags: str, index: str = OLD) -> subprocess.CompletedProcess[str]:
        own = () if "--proxy" in flags else ("--proxy", proxy.url)
        arguments = (index, "--to", NEW, "--upstream", upstream, *own, *flags)
        return subprocess.run(
            proxy_command("native", *arguments),
            env=clean_environ(tmp_path / "state"),
            capture_output=True,
            text=True,
            timeout=60,
        )

    return native


def failure(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    return done.stderr


def count(caller: Caller, index: str) -> int:
    return int(caller.ok("GET", f"/{index}/_count")["count"])


# What it costs


def test_the_costs_are_told_and_nothing_is_changed(native: Run, caller: Caller, elasticsearch):
    done = native(elasticsearch.url)
    assert (done.returncode, done.stderr) == (0, "")
    told = done.stdout
    assert f"{OLD} at {caller.url}" in told
    assert "  body: semantic_text, endpoint [embed], 3 dimensions, cosine\n" in told
    assert "  documents: 4\n" in told
    assert "  texts: 6, characters: 33, chunks: 6\n" in told
    assert "  vectors that are copied along: 5\n" in told
    assert "  texts to embed: 1, about 3 tokens, in 1 calls of the provider\n" in told
    assert "  disk: about " in told
    assert "not possible yet: " in told
    assert "has no semantic_text of its own" in told
    assert told.endswith("Nothing has been changed. --execute makes the copy.\n")
    assert caller("GET", f"/{NEW}").status == 404
    assert "has no semantic_text of its own" in failure(native(elasticsearch.url, "--execute"))


def test_many_documents_are_reckoned_from_some(native: Run, caller: Caller, licensed):
    _, url = licensed
    lines: list[Any] = [{"index": {}}, {"body": "a text"}] * 596
    caller.ok("POST", f"/{OLD}/_bulk?refresh=true", lines)
    told = native(url).stdout
    assert "  documents: 600\n" in told
    assert "  texts: about " in told
    assert "not possible yet" not in told


# What a licensed Elasticsearch is sent


def test_the_index_is_declared_as_its_user_did(native: Run, caller: Caller, licensed):
    told, url = licensed
    caller.ok("PUT", f"/{OLD}/_settings", {"index.blocks.write": True})
    done = native(url, "--execute")
    assert done.returncode == 0, done.stderr
    made = told.made[NEW]
    declared = caller.ok("GET", f"/{OLD}/_mapping")[OLD]["mappings"]
    assert made["mappings"] == declared
    assert made["mappings"]["properties"]["body"]["type"] == "semantic_text"
    assert not [name for name in made["settings"] if "blocks" in name or "uuid" in name]
    assert "xinf" not in orjson.dumps(made).decode()


def test_documents_bring_all_their_vectors_or_none(native: Run, caller: Caller, licensed):
    """If one field lacked its entry, Elasticsearch would make a second `_inference_fields`."""
    told, url = licensed
    assert native(url, "--execute").returncode == 0
    chunk = {"start_offset": 0, "end_offset": 5}
    sent = told.documents
    assert sent["1"]["own"] == [1.0, 2.0]
    assert sent["1"][INFERENCE]["all"] == {
        "inference": {
            "inference_id": "embed",
            "model_settings": MODEL,
            "chunks": {"title": [{**chunk, "embeddings": [5.0, 1.0, 0.5]}]},
        }
    }
    spans = sent["1"][INFERENCE]["body"]["inference"]["chunks"]["body"]
    assert [(one["start_offset"], one["end_offset"]) for one in spans] == [(0, 3), (4, 7)]
    assert sent["3"][INFERENCE]["body"]["inference"]["chunks"] == {"body": []}
    assert sent["4"] == {"body": "past the proxy"}
    assert "xinf" not in orjson.dumps(sent).decode()


def test_identities_versions_and_routings_are_kept(native: Run, caller: Caller, direct, licensed):
    _, url = licensed
    assert native(url, "--execute").returncode == 0
    for name, routing in (("1", ""), ("2", "?routing=r")):
        old, new = (direct.ok("GET", f"/{one}/_doc/{name}{routing}") for one in (OLD, NEW))
        assert new["_version"] == old["_version"]
        assert new.get("_routing") == old.get("_routing")
    assert direct.ok("GET", f"/{NEW}/_doc/1")["_version"] == 2
    assert count(direct, OLD) == count(direct, NEW) == 4


def test_endpoints_may_have_other_names(native: Run, caller: Caller, licensed):
    told, url = licensed
    told.endpoints = ("renamed",)
    missing = native(url, "--execute")
    assert f"{url} has no inference endpoint [embed]" in failure(missing)
    done = native(url, "--execute", "--endpoint", "embed=renamed")
    assert done.returncode == 0, done.stderr
    assert told.made[NEW]["mappings"]["properties"]["body"]["inference_id"] == "renamed"
    given = told.documents["1"][INFERENCE]
    assert {one["inference"]["inference_id"] for one in given.values()} == {"renamed"}


# With a second proxy, which takes such fields as a licensed Elasticsearch does


def test_nothing_but_what_lacked_vectors_is_embedded(
    native: Run, caller: Caller, other: Caller, provider, direct: Caller
):
    provider.calls.clear()
    done = native(other.url, "--execute")
    assert done.returncode == 0, done.stderr
    texts = [text for call in provider.calls for text in orjson.loads(call.body)["inputs"]]
    assert texts == ["past the proxy"]
    query = {"query": {"semantic": {"field": "body", "query": "four"}}}
    old, new = (
        {hit["_id"]: hit["_score"] for hit in one.ok("POST", target, query)["hits"]["hits"]}
        for one, target in ((caller, f"/{OLD}/_search"), (other, f"/{NEW}/_search"))
    )
    assert new.pop("4") > 0
    assert new == pytest.approx(old, abs=0.02)  # vectors are quantised
    assert all(is_filled(direct, NEW, name) for name in "124")


def test_a_copy_that_was_broken_off_goes_on(native: Run, caller: Caller, other: Caller, provider):
    assert native(other.url, "--execute").returncode == 0
    other.ok("DELETE", f"/{NEW}/_doc/1?refresh=true")
    provider.calls.clear()
    done = native(other.url, "--execute")
    assert "copied 1 documents, of which 0 had to be embedded; 3 were there before" in done.stdout
    assert provider.calls == []
    assert count(other, NEW) == 4


def test_what_has_changed_meanwhile_is_copied(native: Run, caller: Caller, other: Caller):
    assert native(other.url, "--execute").returncode == 0
    caller.ok("DELETE", f"/{OLD}/_doc/3")
    caller.ok("PUT", f"/{OLD}/_doc/5", {"body": "new"})
    caller.ok("PUT", f"/{OLD}/_doc/1", {"body": "changed"})
    caller.ok("PUT", f"/{OLD}/_settings", {"index.gc_deletes": "0s"})
    caller.ok("DELETE", f"/{OLD}/_doc/2?routing=r")
    again = {"version": 1, "version_type": "external_gte", "_id": "2", "routing": "r"}
    lines = [{"index": again}, {"body": "made again"}]

    def is_made_again() -> bool:
        """Once Elasticsearch has forgotten that there was one."""
        answer = caller("POST", f"/{OLD}/_bulk?refresh=true", lines)
        return not orjson.loads(answer.content)["errors"]

    eventually(is_made_again, within=60)
    assert caller.ok("GET", f"/{OLD}/_doc/2?routing=r")["_version"] == 1
    done = native(other.url, "--execute")
    assert done.returncode == 0, done.stderr
    assert "copied 3 documents" in done.stdout
    assert "deleted 1 that are gone" in done.stdout
    for name, routing in (("1", ""), ("2", "?routing=r"), ("5", "")):
        old, new = (
            one.ok("GET", f"/{index}/_source/{name}{routing}")
            for one, index in ((caller, OLD), (other, NEW))
        )
        assert old == new
    assert count(other, NEW) == 4
    done = native(other.url, "--execute")
    assert "copied 0 documents" in done.stdout


def test_the_copy_takes_the_place_of_an_index_that_nobody_writes_to(
    native: Run, caller: Caller, other: Caller
):
    caller.ok("PUT", "/_ingest/pipeline/native-final", {"processors": []})
    caller.ok("PUT", f"/{OLD}/_settings", {"index.final_pipeline": "native-final"})
    assert "may still be written to" in failure(native(other.url, "--swap"))
    caller.ok("PUT", f"/{OLD}/_settings", {"index.blocks.write": True})
    before = caller.ok("GET", f"/{OLD}/_alias")[OLD]["aliases"]
    done = native(other.url, "--swap", index="native-alias")
    assert done.returncode == 0, done.stderr
    assert caller.ok("GET", f"/{OLD}/_alias")[OLD]["aliases"] == {}
    assert caller.ok("GET", f"/{NEW}/_alias")[NEW]["aliases"] == before
    settings = other.ok("GET", f"/{NEW}/_settings?flat_settings=true")[NEW]["settings"]
    assert settings["index.final_pipeline"] == "native-final"
    assert "index.blocks.write" not in settings
    assert count(caller, "native-alias") == 1  # by its filter
    assert count(caller, OLD) == 4
    assert "is no copy of" in failure(native(other.url, "--execute"))
    other.ok("DELETE", f"/{NEW},{OLD}")
    caller.ok("DELETE", "/_ingest/pipeline/native-final")


def test_documents_that_fail_are_told_and_the_rest_is_copied(
    native: Run, caller: Caller, other: Caller, provider
):
    embed = provider.answer
    provider.answer = lambda call: json_reply({"error": "boom"}, 400)
    try:
        told = native(other.url, "--execute")
    finally:
        provider.answer = embed
    assert "failed: [4]: Exception when running inference id [embed]" in told.stdout
    assert "has 3 of 4 documents, and 1 have failed" in failure(told)
    assert native(other.url, "--execute").returncode == 0


# What is not copied


@pytest.mark.parametrize(
    ("mappings", "reason"),
    [
        ({"properties": {"body": {"type": "text"}}}, "has no fields of type [semantic_text]"),
        ({**MAPPINGS, "_source": {"excludes": ["title"]}}, "does not keep all of its documents"),
    ],
)
def test_an_index_that_cannot_be_copied_is_told(
    native: Run, proxy, direct, elasticsearch, mappings, reason
):
    Caller(proxy.url).ok("PUT", f"/{OLD}", {"mappings": mappings})
    assert reason in failure(native(elasticsearch.url))


def test_other_indices_are_left_alone(native: Run, caller: Caller, direct, licensed):
    _, url = licensed
    direct.ok("PUT", f"/{NEW}/_doc/1?refresh=true", {"a": 1})
    assert f"[{NEW}] at {url} is no copy of [{OLD}]" in failure(native(url, "--execute"))
    assert direct.ok("GET", f"/{NEW}/_source/1") == {"a": 1}


def test_what_is_not_there_is_told(native: Run, proxy, elasticsearch, unused_tcp_port):
    assert "no such index" in failure(native(elasticsearch.url, index="native-none"))
    nowhere = f"http://127.0.0.1:{unused_tcp_port}"
    told = failure(native(elasticsearch.url, "--proxy", nowhere))
    assert f"{nowhere} cannot be reached" in told
    assert "not OLD=NEW" in failure(native(elasticsearch.url, "--endpoint", "x"))


# With security on


def test_whoever_may_not_read_is_told_to_name_somebody_who_may(
    serve: Serve, secured_elasticsearch, provider, own_index, tmp_path
):
    login = {"HFPROXY_UPSTREAM_USERNAME": "admin", "HFPROXY_UPSTREAM_PASSWORD": "admin-password"}
    env = {**ENABLED, **own_index}
    proxy = serve(upstream=secured_elasticsearch.url, env={**env, **login})
    admin = Caller(proxy.url).as_user(basic("admin"))
    put_endpoint(admin, provider.url)
    admin.ok("PUT", f"/{OLD}", {"mappings": {"properties": {"body": FIELD}}})
    admin.ok("PUT", f"/{OLD}/_doc/1?refresh=true", {"body": "one"})

    def run(*flags: str) -> subprocess.CompletedProcess[str]:
        urls = ("--proxy", proxy.url, "--upstream", secured_elasticsearch.url)
        return subprocess.run(
            proxy_command("native", OLD, "--to", NEW, *urls, *flags),
            env=clean_environ(
                tmp_path, {**store_credentials(), "ELASTIC_PASSWORD": "admin-password"}
            ),
            capture_output=True,
            text=True,
            timeout=60,
        )

    told = failure(run())
    assert "is unauthorized for user [proxy]" in told
    assert "name a user by --username" in told
    done = run("--username", "admin")
    assert (done.returncode, done.stderr) == (0, "")
    assert "  documents: 1\n" in done.stdout
    admin.ok("DELETE", f"/{OLD}")


# And back


def natively(direct: Caller, licensed: Licensed) -> None:
    """An index that the licensed one shows as of its own type."""
    direct.ok("PUT", f"/{OLD}/_doc/1?refresh=true", {"body": "one"})
    direct.ok("PUT", f"/{OLD}/_doc/2?refresh=true", {"body": "two"})
    licensed.shown[OLD] = {"properties": {"body": {**FIELD, "model_settings": MODEL}}}
    chunk = {"start_offset": 0, "end_offset": 3, "embeddings": [3.0, 1.0, 0.5]}
    inference = {"inference_id": "embed", "model_settings": MODEL, "chunks": {"body": [chunk]}}
    licensed.inference["1"] = {"body": {"inference": inference}}


def test_an_index_of_elasticsearchs_own_becomes_one_of_the_proxys(
    native: Run, proxy, direct: Caller, licensed, provider
):
    told, url = licensed
    natively(direct, told)
    provider.calls.clear()
    done = native(url, "--back", "--execute")
    assert done.returncode == 0, done.stderr
    texts = [text for call in provider.calls for text in orjson.loads(call.body)["inputs"]]
    assert texts == ["two"]
    caller = Caller(proxy.url)
    shown: Any = caller.ok("GET", f"/{NEW}/_mapping")[NEW]["mappings"]["properties"]["body"]
    assert shown["type"] == "semantic_text"
    query = {"query": {"semantic": {"field": "body", "query": "one"}}}
    assert count(caller, NEW) == 2
    assert len(caller.ok("POST", f"/{NEW}/_search", query)["hits"]["hits"]) == 2
    assert all(is_filled(direct, NEW, name) for name in "12")


def test_without_an_endpoint_of_the_proxys_there_is_no_way_back(
    native: Run, direct: Caller, licensed
):
    told, url = licensed
    natively(direct, told)
    told.shown[OLD]["properties"]["body"]["inference_id"] = "natively"
    assert "has no inference endpoint [natively]" in failure(native(url, "--back", "--execute"))
    assert direct("GET", f"/{NEW}").status == 404


def test_fields_that_a_proxy_passes_on_are_no_copy_of_its_own(
    native: Run, direct: Caller, licensed
):
    """As if the proxy's upstream knew the endpoint, and the proxy did not."""
    told, url = licensed
    natively(direct, told)
    other = Licensed(direct.url)
    with in_thread(FaultyServer(other)) as passing:
        told.shown = {**told.shown, NEW: told.shown[OLD]}
        done = native(url, "--back", "--execute", "--proxy", passing.url)
        assert "does not have the endpoints [embed] itself" in failure(done)
    assert direct("GET", f"/{NEW}").status == 404
