"""Semantic fields behind real security: who may use them, and what users are kept from."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from yarl import URL

from proxy.upstream.rights import CLUSTER, INDICES
from testbed.elasticsearch import start
from tests.support.endpoints import JSON
from tests.support.layer import ENABLED, HIDDEN, MAPPINGS, Caller, put_endpoint
from tests.support.rawhttp import send
from tests.support.relays import Relay
from tests.support.security import wait_until_settled
from tests.support.stubs import FaultyServer, contract_reply, in_thread
from tests.support.users import ROLES, USERS

ONE_SHARD = {"number_of_shards": 1, "number_of_replicas": 0}
TEXT = {"body": "the tide comes in", "title": "sea"}
QUERY = {"query": {"semantic": {"field": "body", "query": "water"}}}


def quoted(names) -> str:
    return json.dumps(list(names))


OWN_ROLES = f"""\
layer:
  cluster: {quoted(right.name for right in CLUSTER)}
  indices:
    - names: ["*"]
      privileges: {quoted(right.name for right in INDICES)}
metadata:
  indices:
    - names: ["*"]
      privileges: [view_index_metadata]
searcher:
  indices:
    - names: ["notes*"]
      privileges: [read]
alias_searcher:
  indices:
    - names: ["shared"]
      privileges: [read]
writer:
  indices:
    - names: ["notes*"]
      privileges: [write, create_index]
appender:
  indices:
    - names: ["notes*"]
      privileges: [create_doc]
titles:
  indices:
    - names: ["notes*"]
      privileges: [read]
      field_security: {{grant: ["title"]}}
without_vectors:
  indices:
    - names: ["notes*"]
      privileges: [read]
      field_security: {{grant: ["title", "body"]}}
with_vectors:
  indices:
    - names: ["notes*"]
      privileges: [read]
      field_security: {{grant: ["title", "body", "xinf.*"]}}
without_field:
  indices:
    - names: ["notes*"]
      privileges: [read]
      field_security: {{grant: ["*"], except: ["body"]}}
lake:
  indices:
    - names: ["notes*"]
      privileges: [read]
      query: '{{"term": {{"kind": "lake"}}}}'
"""
NAMES = [line.rstrip(":") for line in OWN_ROLES.splitlines() if line[0] != " "]
OWN_USERS = {name: ("a-password", name) for name in NAMES} | {
    "layer": ("a-password", "layer,proxy_store"),
    "metadata": ("a-password", "metadata,proxy_store"),
    "proxy": USERS["proxy"],
}


def login(name: str) -> str:
    pair = f"{name}:{(USERS | OWN_USERS)[name][0]}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def served_as(user: str) -> dict[str, str]:
    """The environment of a proxy with the layer, and these credentials of its own."""
    password = (USERS | OWN_USERS)[user][0]
    own = {"HFPROXY_UPSTREAM_USERNAME": user, "HFPROXY_UPSTREAM_PASSWORD": password}
    return ENABLED | own


@dataclass(frozen=True)
class Stage:
    proxy: Caller
    provider: FaultyServer

    def user(self, name: str) -> Caller:
        return self.proxy.as_user(login(name))

    @property
    def embedded(self) -> list[str]:
        """The texts that were embedded, which this empties."""
        calls = [call.json["inputs"] for call in self.provider.calls]
        self.provider.calls.clear()
        return [text for texts in calls for text in texts]


@pytest.fixture(scope="module")
def cluster():
    """With a licence for field- and document-level security."""
    running = start(
        secured=True,
        users={**USERS, **OWN_USERS},
        roles=ROLES + OWN_ROLES,
        settings={"xpack.license.self_generated.type": "trial"},
        say=lambda _: None,
    )
    wait_until_settled(running.url)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def stage(cluster, serve_for_session) -> Iterator[Stage]:
    proxy = serve_for_session(upstream=cluster.url, env=served_as("layer"))
    with in_thread(FaultyServer(contract_reply)) as provider:
        stage = Stage(Caller(proxy.url), provider)
        admin = stage.user("admin")
        put_endpoint(admin, provider.url)
        mappings = {"properties": {**MAPPINGS["properties"], "kind": {"type": "keyword"}}}
        body = {"settings": ONE_SHARD, "mappings": mappings, "aliases": {"shared": {}}}
        admin.ok("PUT", "/notes", body)
        admin.ok("PUT", "/other", {"settings": ONE_SHARD, "mappings": mappings})
        for kind in ("lake", "sea"):
            admin.ok("PUT", f"/notes/_doc/{kind}?refresh=true", {**TEXT, "kind": kind})
        stage.provider.calls.clear()
        yield stage


def hits(caller: Caller, target: str = "/notes/_search", body=QUERY) -> list[str]:
    return sorted(hit["_id"] for hit in caller.ok("POST", target, body)["hits"]["hits"])


def refused(caller: Caller, method: str, target: str, body) -> str:
    """Why, in the words of an error that Elasticsearch could have made."""
    answer = caller(method, target, body)
    assert answer.status == 403, answer.text
    error = json.loads(answer.content)["error"]
    assert error["type"] == "security_exception"
    assert error["root_cause"] == [{"type": error["type"], "reason": error["reason"]}]
    assert HIDDEN not in answer.text
    return str(error["reason"])


# Searching


@pytest.mark.parametrize(
    ("user", "target"),
    [
        ("searcher", "/notes/_search"),
        ("searcher", "/note*/_search"),
        ("searcher", "/_all/_search"),
        ("searcher", "/_search"),
        ("searcher", "/*,-other/_search"),
        ("alias_searcher", "/shared/_search"),
        ("alias_searcher", "/share*/_search"),
    ],
)
def test_who_may_search_finds(stage, user, target):
    assert hits(stage.user(user), target) == ["lake", "sea"]
    assert stage.embedded == ["water"]


@pytest.mark.parametrize(
    ("user", "target"),
    [
        ("searcher", "/other/_search"),
        ("searcher", "/notes,other/_search"),
        ("searcher", "/note*,other/_search"),
        ("alias_searcher", "/notes/_search"),
        ("writer", "/notes/_search"),
        ("nobody", "/notes/_search"),
        ("writer", "/note*/_search"),
    ],
)
def test_who_may_not_search_is_refused_as_elasticsearch_does_and_costs_nothing(
    stage, cluster, user, target
):
    direct = Caller(cluster.url).as_user(login(user))
    told = refused(stage.user(user), "POST", target, QUERY)
    assert told == refused(direct, "POST", target, {"query": {"match": {"body": "water"}}})
    assert stage.embedded == []


@pytest.mark.parametrize("target", ["/note*/_search", "/_search", "/othe*,note*/_search"])
def test_who_may_see_nothing_of_a_pattern_finds_nothing_and_costs_nothing(stage, target):
    assert hits(stage.user("nobody"), target) == []
    assert stage.embedded == []


def test_semantic_fields_of_others_leave_searches_of_all_one_sees_alone(stage):
    """The index that the caller sees has a field of the same name, which is none of ours."""
    stage.user("admin").ok("PUT", "/somewhere-else/_doc/1?refresh=true", {"body": "cold water"})
    query = {"query": {"match": {"body": "water"}}}
    assert hits(stage.user("nobody"), "/_search", query) == ["1"]
    assert stage.embedded == []


def test_nobody_at_all_costs_nothing(stage):
    answer = stage.proxy("POST", "/notes/_search", QUERY)
    assert answer.status == 401
    assert "missing authentication credentials for REST request [/notes/_search]" in answer.text
    assert stage.embedded == []


# Writing


def test_who_may_write_does(stage):
    stage.user("writer").ok("PUT", "/notes-more/_doc/1", TEXT)  # an index that it makes
    stage.user("writer").ok("PUT", "/notes/_doc/gone?refresh=true", TEXT)
    stage.user("writer").ok("POST", "/notes/_update/gone", {"doc": {"body": "ebb"}})
    stage.user("admin").ok("DELETE", "/notes/_doc/gone?refresh=true")
    assert stage.embedded == [TEXT["body"], "ebb"]


def test_who_may_only_append_does_that(stage):
    appender = stage.user("appender")
    appender.ok("PUT", "/notes/_create/more?refresh=true", TEXT)
    assert stage.embedded == [TEXT["body"]]
    line = {"index": {"_index": "notes", "_id": "bulk", "op_type": "create"}}
    assert appender.ok("POST", "/_bulk?refresh=true", [line, TEXT])["errors"] is False
    assert stage.embedded == [TEXT["body"]]
    stage.user("admin").ok("DELETE", "/notes/_doc/bulk?refresh=true")
    assert "[indices:data/write/index:op_type/index]" in refused(
        appender, "PUT", "/notes/_doc/other", TEXT
    )
    assert "[indices:data/write/update]" in refused(
        appender, "POST", "/notes/_update/lake", {"doc": TEXT}
    )
    assert stage.embedded == []
    stage.user("admin").ok("DELETE", "/notes/_doc/more?refresh=true")


def test_items_that_may_not_be_written_fail_alone_and_cost_nothing(stage, cluster):
    body = [
        {"index": {"_index": "other", "_id": "1"}},
        {"body": "not to be embedded"},
        {"create": {"_index": "notes", "_id": "2"}},
        {"body": "to be embedded"},
        {"update": {"_index": "other", "_id": "1"}},
        {"doc": {"body": "not to be embedded"}},
    ]
    through = json.loads(stage.user("writer")("POST", "/_bulk?refresh=true", body).content)
    assert stage.embedded == ["to be embedded"]
    direct = json.loads(
        Caller(cluster.url).as_user(login("writer"))("POST", "/_bulk", body).content
    )
    stage.user("admin").ok("DELETE", "/notes/_doc/2?refresh=true")
    assert through["errors"]
    assert [through["items"][0], through["items"][2]] == [direct["items"][0], direct["items"][2]]
    assert through["items"][1]["create"]["status"] == 201


def test_a_bulk_of_nothing_but_refused_items_is_refused_as_elasticsearch_does(stage, cluster):
    bodies = [
        [{"index": {"_index": "notes", "_id": "1"}}, TEXT],
        [{"index": {"_index": "notes", "_id": "1"}}, TEXT, {"delete": {"_index": "x", "_id": "1"}}],
        [{"update": {"_index": "other", "_id": "1"}}, {"doc": TEXT}],
    ]
    for user, status in (("searcher", 403), ("writer", 200)):
        for body in bodies[0 if status == 403 else 2 :]:
            through = stage.user(user)("POST", "/_bulk", body)
            direct = Caller(cluster.url).as_user(login(user))("POST", "/_bulk", body)
            assert through.status == direct.status == status
            found, expected = json.loads(through.content), json.loads(direct.content)
            assert (found.get("error"), found.get("items")) == (
                expected.get("error"),
                expected.get("items"),
            )
    assert stage.embedded == []


def test_what_is_written_before_credentials_expire_is_told(stage, cluster):
    admin = Caller(cluster.url).as_user(login("admin"))
    key = admin.ok("POST", "/_security/api_key", {"name": "expiring"})
    lines = [{"index": {"_index": "notes", "_id": "early"}}, {"title": "x" * 1024 * 1024}]
    early = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    late = b'{"index":{"_index":"other","_id":"late"}}\n{"body":"not to be embedded"}\n'

    def pieces():
        yield early
        yield early.replace(b'"early"', b'"second"')
        while admin("HEAD", "/notes/_doc/early").status != 200:
            pass
        admin.ok("DELETE", "/_security/api_key", {"ids": [key["id"]]})
        yield late

    headers = [("Authorization", f"ApiKey {key['encoded']}"), *JSON]
    answer = send(stage.proxy.url, "POST", "/_bulk?refresh=true", headers, pieces())
    admin.ok("POST", "/_bulk?refresh=true", [{"delete": {"_index": "notes", "_id": "early"}}])
    assert answer.status == 200, answer.text
    items = [one["index"] for one in json.loads(answer.content)["items"]]
    assert [(one["_id"], one["status"]) for one in items][:1] == [("early", 201)]
    assert (items[-1]["_id"], items[-1]["status"]) == ("late", 401)
    assert items[-1]["error"]["type"] == "security_exception"
    assert stage.embedded == []


def test_a_single_document_is_refused_as_elasticsearch_does(stage, cluster):
    direct = Caller(cluster.url).as_user(login("searcher"))
    for method, target, body in (
        ("PUT", "/notes/_doc/1", TEXT),
        ("PUT", "/notes/_create/1", TEXT),
        ("POST", "/other/_update/1", {"doc": TEXT}),
        ("POST", "/notes/_doc", TEXT),
    ):
        told = refused(stage.user("searcher"), method, target, body)
        assert told == refused(direct, method, target, body)
    assert stage.embedded == []


def test_copying_where_one_may_not_write_fails_and_costs_nothing(stage):
    for body in (
        {"source": {"index": "notes"}, "dest": {"index": "other"}},
        {"source": {"index": "notes"}, "dest": {"index": "other", "op_type": "create"}},
    ):
        answer = stage.user("searcher")("POST", "/_reindex", body)
        assert answer.status == 403, answer.text
        causes = [one["cause"] for one in json.loads(answer.content)["failures"]]
        assert {cause["type"] for cause in causes} == {"security_exception"}
        assert len(causes) == 2
    assert stage.embedded == []
    answer = stage.user("searcher")("POST", "/notes/_update_by_query")
    assert answer.status == 403, answer.text
    assert stage.embedded == []


def test_who_may_not_read_copies_nothing(stage):
    body = {"source": {"index": "other"}, "dest": {"index": "notes"}}
    answer = stage.user("writer")("POST", "/_reindex", body)
    assert answer.status == 403, answer.text
    assert stage.embedded == []


def test_an_update_by_script_is_refused_before_it_runs(stage, cluster):
    body = {"script": "ctx._source.body = 'not to be embedded'"}
    direct = Caller(cluster.url).as_user(login("searcher"))
    told = refused(stage.user("searcher"), "POST", "/notes/_update/lake", body)
    assert told == refused(direct, "POST", "/notes/_update/lake", body)
    assert stage.embedded == []


# Ways to search


BUILT = {
    "knn": {
        "field": "vector",
        "k": 1,
        "num_candidates": 1,
        "query_vector_builder": {"text_embedding": {"model_id": "embed", "model_text": "water"}},
    }
}
RETRIEVER = {"retriever": {"rrf": {"retrievers": [{"standard": QUERY}, {"standard": QUERY}]}}}


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/notes/_async_search", QUERY),
        ("/notes/_count", QUERY),
        ("/notes/_explain/lake", QUERY),
        ("/notes/_delete_by_query", QUERY),
        ("/notes/_search", BUILT),
        ("/note*/_search", BUILT),
        ("/notes/_search", RETRIEVER),
        ("/notes/_rank_eval", {"requests": [{"id": "a", "request": QUERY, "ratings": []}]}),
        ("/_query", {"query": 'FROM notes | WHERE KNN(v, TEXT_EMBEDDING("water", "embed"))'}),
        ("/_query/async", {"query": 'ROW v = TEXT_EMBEDDING("water", "embed")'}),
    ],
)
def test_who_may_not_search_costs_nothing_in_any_way(stage, target, body):
    answer = stage.user("writer")("POST", target, body)
    assert answer.status == 403, answer.text
    assert stage.embedded == []


def test_of_many_searches_each_is_judged_alone(stage):
    lines = [{"index": "other"}, QUERY, {"index": "notes"}, QUERY]
    answer = stage.user("searcher")("POST", "/_msearch", lines)
    first, second = json.loads(answer.content)["responses"]
    assert first["status"] == 403
    assert first["error"]["type"] == "security_exception"
    assert sorted(hit["_id"] for hit in second["hits"]["hits"]) == ["lake", "sea"]
    assert stage.embedded == ["water"]


def test_a_vector_is_built_for_who_may_search_any_index_of_a_pattern(stage):
    """Also where no role names that pattern, and no index of it has a semantic field."""
    vector = {"type": "dense_vector", "dims": 3}
    mappings = {"properties": {"vector": vector}}
    stage.user("admin").ok("PUT", "/somewhere-else-built", {"mappings": mappings})
    try:
        assert stage.user("nobody")("POST", "/somewhere-*/_search", BUILT).status == 200
        assert stage.embedded == ["water"]
    finally:
        stage.user("admin").ok("DELETE", "/somewhere-else-built")


# Pipelines


def test_inference_processors_do_not_run_for_who_may_not_write(stage):
    admin = stage.user("admin")
    infer = {"model_id": "embed", "input_output": [{"input_field": "body", "output_field": "v"}]}
    admin.ok("PUT", "/_ingest/pipeline/costly", {"processors": [{"inference": infer}]})
    admin.ok("PUT", "/somewhere", {"settings": ONE_SHARD})
    to_other = {"set": {"field": "_index", "value": "other"}}
    admin.ok("PUT", "/_ingest/pipeline/elsewhere", {"processors": [to_other]})
    try:
        for user, target in (
            ("searcher", "/somewhere/_doc/1?pipeline=costly"),
            ("searcher", "/notes/_doc/1?pipeline=costly"),
            ("writer", "/notes/_doc/1?pipeline=elsewhere"),
        ):
            answer = stage.user(user)("PUT", target, {"body": "not to be embedded"})
            assert answer.status == 403, answer.text
            assert stage.embedded == []
        docs = [{"_source": {"body": "not to be embedded"}}]
        answer = stage.user("writer")("POST", "/_ingest/pipeline/costly/_simulate", {"docs": docs})
        assert answer.status == 403, answer.text
        assert stage.embedded == []
    finally:
        admin.ok("DELETE", "/_ingest/pipeline/costly")
        admin.ok("DELETE", "/_ingest/pipeline/elsewhere")
        admin.ok("DELETE", "/somewhere")


# Field- and document-level security


def test_a_field_that_is_hidden_is_not_found_by_its_meaning(stage):
    assert hits(stage.user("titles")) == []
    assert stage.embedded == ["water"]


@pytest.mark.parametrize("user", ["without_vectors", "without_field"])
def test_a_field_or_its_vectors_alone_are_refused(stage, user):
    reason = refused(stage.user(user), "POST", "/notes/_search", QUERY)
    assert reason.startswith("field [body] of type [semantic_text] cannot be searched: ")
    assert stage.embedded == []
    found = hits(stage.user(user), body={"query": {"match": {"title": "sea"}}})
    assert found == ["lake", "sea"]  # other searches go on


def test_a_role_that_grants_both_suffices(stage):
    assert hits(stage.user("with_vectors")) == ["lake", "sea"]


def test_documents_that_are_hidden_are_not_found(stage):
    assert hits(stage.user("lake")) == ["lake"]


def test_a_role_with_a_semantic_query_gives_no_access(stage):
    """Elasticsearch evaluates such queries itself, and knows none that are semantic."""
    role = {"indices": [{"names": ["notes"], "privileges": ["read"], "query": QUERY["query"]}]}
    answer = stage.user("admin")("PUT", "/_security/role/meaning", role)
    assert answer.status == 400, answer.text
    assert "unknown query [semantic]" in answer.text


# The proxy's own privileges


def lines_about(server, privilege: str) -> list[str]:
    marked = f"own credentials lack the privilege [{privilege}]"
    return [line for line in server.output.splitlines() if marked in line]


def test_the_privileges_that_setup_grants_suffice(stage, cluster, serve, run):
    server = serve(upstream=cluster.url, env=served_as("layer"))
    server.wait_for("inference endpoints")
    found = run(
        "check", "--upstream", cluster.url, "--listen", "127.0.0.1:0", env=served_as("layer")
    )
    assert f"ok      upstream [{cluster.url}]: the proxy may all that [semantic.enabled] needs" in (
        found.stdout
    )
    assert "lack" not in server.output


def undecided(user: str) -> dict[str, str | None]:
    """The same without a word on whether there is to be the layer."""
    return {**served_as(user), **dict.fromkeys(ENABLED)}


@pytest.fixture
def puts(cluster) -> Iterator[Callable[[str], int]]:
    """Puts an index with a semantic field by way of a proxy, and takes it away."""
    body = {"settings": ONE_SHARD, "mappings": MAPPINGS}
    yield lambda url: Caller(url).as_user(login("admin"))("PUT", "/notes-undecided", body).status
    Caller(cluster.url).as_user(login("admin"))("DELETE", "/notes-undecided")


@pytest.mark.parametrize(("user", "offered"), [("layer", True), ("proxy", False)])
def test_who_says_nothing_has_the_layer_where_the_proxy_has_these_privileges(
    stage, cluster, serve, run, puts, user, offered
):
    server = serve(upstream=cluster.url, env=undecided(user))
    server.wait_for("inference endpoints")
    assert puts(server.url) == (200 if offered else 400)
    assert server.stop() == 0
    assert server.output.count("[semantic_text] are not offered") == (not offered)
    assert "WARN" not in server.output

    found = run("check", "--upstream", cluster.url, "--listen", "127.0.0.1:0", env=undecided(user))
    assert ("[semantic_text] are not offered, as the proxy lacks" in found.stdout) is not offered
    assert "error" not in found.stdout, found.stdout


@pytest.mark.parametrize(("user", "offered"), [("layer", True), ("proxy", False)])
async def test_it_is_decided_by_the_first_request_if_the_upstream_comes_later(
    stage, cluster, serve, puts, user, offered, tmp_path, unused_tcp_port
):
    env = {**undecided(user), "HFPROXY_STORE_KIND": f"sqlite:{tmp_path / 'endpoints.db'}"}
    url = f"http://127.0.0.1:{unused_tcp_port}"
    server = await asyncio.to_thread(serve, upstream=url, env=env)
    async with Relay(URL(cluster.url), unused_tcp_port):
        assert await asyncio.to_thread(puts, server.url) == (200 if offered else 400)
    said = "[semantic_text] are not offered"
    if not offered:
        await asyncio.to_thread(server.wait_for, said)
    assert server.output.count(said) == (not offered)


def test_without_monitor_changes_are_still_seen_and_that_is_said(stage, cluster, serve, run):
    server = serve(upstream=cluster.url, env=served_as("metadata"))
    blind, admin = Caller(server.url).as_user(login("admin")), stage.user("admin")
    server.wait_for("looked for by reading all mappings")
    server.wait_for("once there is an index with them")
    assert (
        "[semantic.enabled]"
        in run(
            "check", "--upstream", cluster.url, "--listen", "127.0.0.1:0", env=served_as("metadata")
        ).stdout
    )
    mappings = {"settings": ONE_SHARD, "mappings": MAPPINGS}
    try:
        blind.ok("GET", "/notes-late*/_search")
        admin.ok("PUT", "/notes-late", mappings)
        blind.ok("PUT", "/notes-late/_doc/1?refresh=true", TEXT)
        assert HIDDEN not in blind("GET", "/notes-late*/_search").text
        assert hits(blind, "/notes-late/_search") == ["1"]
    finally:
        admin("DELETE", "/notes-late")
        stage.provider.calls.clear()


def test_without_any_rights_others_go_on_and_it_is_said(stage, cluster, serve, run):
    server = serve(upstream=cluster.url, env=served_as("proxy"))
    caller = Caller(server.url).as_user(login("admin"))
    server.wait_for("own credentials lack the privilege [view_index_metadata]")
    assert lines_about(server, "monitor")
    assert caller("GET", "/other/_search").status == 200
    assert caller("GET", "/_cat/indices").status == 200
    done = run(
        "check", "--upstream", cluster.url, "--listen", "127.0.0.1:0", env=served_as("proxy")
    )
    assert done.returncode == 1
    assert "the proxy lacks the privilege [view_index_metadata]" in done.stdout


# Endpoints by themselves


def test_an_endpoint_called_as_a_model_needs_the_privilege_of_inference(stage):
    target, body = "/_ml/trained_models/embed/_infer", {"docs": [{"text_field": "water"}]}
    reason = refused(stage.user("searcher"), "POST", target, body)
    assert "action [cluster:monitor/xpack/inference/post] is unauthorized" in reason
    assert stage.embedded == []
    stage.user("monitor").ok("POST", target, body)
    assert stage.embedded == ["water"]
