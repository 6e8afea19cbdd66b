"""Nothing that reads an index shows what the layer keeps in it beside the user's fields."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson
import pytest

from proxy.semantic.layout import CONTAINER
from proxy.semantic.pits import expression_of
from tests.support.processes import Serve
from tests.support.semantic import Caller
from tests.support.semanticprovider import semantic_reply
from tests.support.stubs import FaultyServer, in_thread

INDEX: Final = "reads-a"
STREAM: Final = "reads-stream"
MAPPINGS: Final = {
    "_meta": {"owner": "me"},
    "properties": {
        "title": {"type": "text", "copy_to": "body", "fields": {"sem": {"type": "semantic_text"}}},
        "body": {"type": "semantic_text", "inference_id": "reads-embed", "meta": {"unit": "page"}},
        "deep": {"properties": {"text": {"type": "semantic_text", "inference_id": "reads-embed"}}},
        "group": {"type": "keyword"},
        "stands_for_body": {"type": "alias", "path": "body"},
    },
}
DOCUMENT: Final = {"title": "the sea", "body": "a moon", "deep": {"text": "x"}, "group": "g"}
QUERY: Final = {"match": {"title": "sea"}}
SEMANTIC: Final = {"semantic": {"field": "body", "query": "sea"}}
MEANT: Final = {"query_vector_builder": {"text_embedding": {"model_text": "sea"}}}
ALL: Final = {"_source": ["*"], "fields": ["*"]}
HITS: Final = {"top_hits": {"size": 1}}
SOURCE_TOO: Final = {"stored_fields": ["group", "_source"]}


def search(**body: Any) -> tuple[str, str, Any]:
    return "POST", f"/{INDEX}/_search", {"query": SEMANTIC, **body}


# Each API of Elasticsearch's REST specification that can show a document, a mapping, a name of a
# field or the text of a query, and that the distribution of the tests has.
READS: Final = [
    ("GET", f"/{INDEX}/_doc/1", None),
    ("GET", f"/{INDEX}/_doc/1?_source_includes=*", None),
    ("GET", f"/{INDEX}/_doc/1?_source=x*", None),
    ("GET", f"/{INDEX}/_doc/1?_source_excludes=title&pretty", None),
    ("GET", f"/{INDEX}/_doc/1?stored_fields=_source", None),
    ("GET", f"/{INDEX}/_doc/1?_source_exclude_vectors=false", None),
    ("GET", f"/{INDEX}/_source/1", None),
    ("GET", f"/{INDEX}/_source/1?_source_exclude_vectors=false", None),
    ("POST", f"/{INDEX}/_mget", {"ids": ["1"]}),
    ("POST", "/_mget", {"docs": [{"_index": INDEX, "_id": "1"}]}),
    ("POST", "/_mget", {"docs": [{"_index": INDEX, "_id": "1", "_source": ["x*", "title"]}]}),
    ("POST", "/_mget", {"docs": [{"_index": INDEX, "_id": "1", "_source": True}]}),
    ("POST", "/_mget?stored_fields=x", {"docs": [{"_index": INDEX, "_id": "1", **SOURCE_TOO}]}),
    ("POST", f"/{INDEX}/_mget?stored_fields=_source", {"docs": [{"_id": "1", "_source": False}]}),
    ("GET", f"/{INDEX}/_search", None),
    ("GET", "/_search?q=sea", None),
    ("GET", f"/{INDEX}/_search?q=true&_source_includes=*", None),
    search(),
    search(_source=True),
    search(_source=["*"]),
    search(_source={"includes": ["*"], "excludes": ["title"]}),
    search(_source={"exclude_vectors": False}),
    search(fields=["*"]),
    search(fields=["x*"], _source=False),
    search(fields=["_inference_fields"]),
    search(docvalue_fields=["group"], stored_fields=["_none_"]),
    search(explain=True),
    search(profile=True),
    search(version=True, seq_no_primary_term=True),
    search(aggs={"a": {"terms": {"field": "group"}, "aggs": {"h": HITS}}}),
    search(aggs={"h": {"top_hits": {"_source": {"includes": ["*"]}}}}),
    search(collapse={"field": "group", "inner_hits": {"name": "i"}}),
    search(knn={"field": "body", "k": 3, "num_candidates": 9, "inner_hits": {}, **MEANT}),
    search(knn=[{"field": "body", "k": 3, "num_candidates": 9, "inner_hits": ALL, **MEANT}]),
    search(query=QUERY, highlight={"fields": {"*": {}}}),
    search(query={"query_string": {"query": "true OR sea"}}, profile=True),
    ("POST", f"/{INDEX}/_search?typed_keys", {"query": QUERY}),
    ("POST", f"/{INDEX}/_count", {"query": QUERY}),
    ("POST", "/_msearch", [{"index": INDEX}, {"query": QUERY, "fields": ["*"], "profile": True}]),
    ("POST", f"/{INDEX}/_explain/1?_source=true", {"query": QUERY}),
    ("GET", f"/{INDEX}/_explain/1?q=true", None),
    ("GET", f"/{INDEX}/_validate/query?explain=true&rewrite=true&q=true", None),
    ("GET", f"/{INDEX}/_termvectors/1?fields=*", None),
    ("POST", f"/{INDEX}/_mtermvectors", {"ids": ["1"], "parameters": {"fields": ["*"]}}),
    ("GET", f"/{INDEX}", None),
    ("GET", "/_all", None),
    ("GET", f"/{INDEX}/_mapping", None),
    ("GET", "/_mapping", None),
    ("GET", f"/{INDEX}/_mapping/field/*", None),
    ("GET", f"/{INDEX}/_mapping/field/*?include_defaults=true", None),
    ("GET", "/_mapping/field/x*", None),
    ("GET", f"/{INDEX}/_field_caps?fields=*", None),
    ("GET", f"/{INDEX}/_field_caps?fields=*&include_empty_fields=false", None),
    ("GET", f"/{INDEX}/_field_caps?fields=*&filters=-metadata&types=text,dense_vector", None),
    ("POST", "/_field_caps", {"fields": ["*"]}),
    ("GET", f"/{INDEX}/_settings?include_defaults", None),
    ("GET", f"/{INDEX}/_alias", None),
    ("GET", f"/{INDEX}/_search_shards", None),
    ("GET", f"/{INDEX}/_stats?fields=*", None),
    ("GET", "/_stats?fields=*&level=shards", None),
    ("GET", "/_nodes/stats/indices?fields=*", None),
    ("GET", f"/{INDEX}/_segments", None),
    ("GET", f"/{INDEX}/_recovery", None),
    ("POST", f"/{INDEX}/_disk_usage?run_expensive_tasks=true", None),
    ("GET", f"/{INDEX}/_field_usage_stats", None),
    ("GET", f"/_cluster/state/metadata/{INDEX}", None),
    ("GET", "/_cluster/stats", None),
    ("GET", "/_cat/indices?v", None),
    ("GET", "/_cat/fielddata?fields=*", None),
    ("GET", "/_tasks?detailed", None),
    ("GET", f"/_resolve/index/{INDEX}", None),
    ("GET", "/_index_template/reads-*", None),
    ("GET", "/_component_template/reads-*", None),
    ("GET", "/_template/reads-*", None),
    ("POST", "/_index_template/_simulate_index/reads-new", None),
    ("POST", "/_index_template/_simulate/reads-template", None),
    (
        "POST",
        "/_index_template/_simulate",
        {"index_patterns": ["reads-x*"], "template": {"mappings": MAPPINGS}},
    ),
    ("GET", "/_data_stream/reads-*", None),
    ("GET", f"/{STREAM}/_search", None),
    # What is wrong is told in the user's words, too.
    ("POST", f"/{INDEX}/_search", {"query": {"match": {"body": {"query": 1, "nope": 2}}}}),
    ("PUT", f"/{INDEX}/_mapping", {"properties": {"body": {"type": "keyword"}}}),
    ("PUT", f"/{INDEX}/_doc/2", b'{"title": "a", "body": "x", "body": "y"}'),
    ("PUT", f"/{INDEX}/_doc/2", b'{"title": "a", "body": "x"'),
    ("PUT", f"/{INDEX}/_doc/2", {"body": "x", "group": {"a": 1}}),
    ("POST", f"/{INDEX}/_bulk", [{"index": {"_id": "3"}}, {"body": "x", "group": {"a": 1}}]),
]


@pytest.fixture(scope="module")
def caller(serve_for_session: Serve, elasticsearch) -> Iterator[Caller]:
    """A proxy with an index, templates and a data stream that have semantic fields."""
    with in_thread(FaultyServer(semantic_reply)) as stub:
        env = {
            "HFPROXY_SEMANTIC_ENABLED": "true",
            "HFPROXY_SEMANTIC_DEFAULT_INFERENCE_ID": "reads-embed",
            "HFPROXY_STORE_INDEX": "hugging-face-inference-endpoints-reads",
        }
        proxy = Caller(serve_for_session(upstream=elasticsearch.url, env=env).url)
        proxy.put_endpoint("reads-embed", f"{stub.url}/embed")
        set_up(proxy)
        yield proxy


def set_up(proxy: Caller) -> None:
    proxy.ask("PUT", f"/{INDEX}", {"mappings": MAPPINGS})
    proxy.ask("PUT", f"/{INDEX}/_doc/1?refresh=true", DOCUMENT, status=None)
    template = {"template": {"mappings": MAPPINGS}}
    proxy.ask("PUT", "/_component_template/reads-component", template)
    patterns = {"index_patterns": ["reads-new*"]}
    proxy.ask("PUT", "/_index_template/reads-template", {**patterns, **template})
    proxy.ask("PUT", "/_template/reads-legacy", {"index_patterns": ["old*"], "mappings": MAPPINGS})
    stream = {"index_patterns": [f"{STREAM}*"], "data_stream": {}, **template, "priority": 900}
    if proxy.send("PUT", "/_index_template/reads-stream", stream).status < 300:
        document = {**DOCUMENT, "@timestamp": "2026-01-01T00:00:00Z"}
        lines = [{"create": {"_index": STREAM}}, document]
        proxy.ask("POST", "/_bulk?refresh=true", lines)


@pytest.mark.parametrize("form", ["json", "yaml"])
@pytest.mark.parametrize(
    ("method", "path", "body"), READS, ids=[f"{method} {path}" for method, path, _ in READS]
)
def test_nothing_of_ours_shows(caller: Caller, form: str, method: str, path: str, body: Any):
    if form == "yaml":
        path += "&format=yaml" if "?" in path else "?format=yaml"
    answer = caller.send(method, path, body)
    assert CONTAINER not in answer.text
    assert b"def1" not in answer.content
    assert b"semantic-field-missing" not in answer.content


class TestInferenceFields:
    """`_inference_fields` on request."""

    CHUNK: Final = {"start_offset": 0, "end_offset": 6}

    def check(self, source: Any) -> None:
        assert source["title"] == "the sea"
        found = source["_inference_fields"]
        assert set(found) == {"body", "title.sem", "deep.text"}
        body = found["body"]["inference"]
        assert body["inference_id"] == "reads-embed"
        assert body["model_settings"]["dimensions"] == 16
        assert set(body["chunks"]) == {"body", "title"}
        (chunk,) = body["chunks"]["body"]
        assert len(chunk.pop("embeddings")) == 16
        assert chunk == self.CHUNK
        assert set(found["title.sem"]["inference"]["chunks"]) == {"title"}

    def test_in_a_search_that_names_it(self, caller: Caller):
        answer = caller.ask("POST", f"/{INDEX}/_search", {"fields": ["_inference_fields"]})
        (hit,) = answer["hits"]["hits"]
        self.check(hit["_source"])

    def test_in_a_search_that_asks_for_vectors(self, caller: Caller):
        body = {"_source": {"exclude_vectors": False}}
        (hit,) = caller.ask("POST", f"/{INDEX}/_search", body)["hits"]["hits"]
        self.check(hit["_source"])

    def test_on_every_page_of_a_scroll(self, caller: Caller):
        body = {"size": 1, "_source": {"exclude_vectors": False}}
        caller.ask("PUT", f"/{INDEX}/_doc/2?refresh=true", {"title": "two"}, status=None)
        page = caller.ask("POST", f"/{INDEX}/_search?scroll=1m", body)
        hits = page["hits"]["hits"]
        asking = {"scroll": "1m", "scroll_id": page["_scroll_id"]}
        hits += caller.ask("POST", "/_search/scroll", asking)["hits"]["hits"]
        caller.ask("DELETE", f"/{INDEX}/_doc/2?refresh=true")
        assert ["_inference_fields" in hit["_source"] for hit in hits] == [True, True]

    def test_in_one_of_several_searches(self, caller: Caller):
        asking = {"fields": ["_inference_fields"]}
        searches = [{"index": INDEX}, asking, {"index": INDEX}, {}]
        answer = caller.ask("POST", "/_msearch", searches)
        first, second = (one["hits"]["hits"][0]["_source"] for one in answer["responses"])
        self.check(first)
        assert second == DOCUMENT

    @pytest.mark.parametrize("path", ["_doc", "_source"])
    def test_in_a_document(self, caller: Caller, path: str):
        found = caller.ask("GET", f"/{INDEX}/{path}/1?_source_exclude_vectors=false")
        self.check(found if path == "_source" else found["_source"])

    def test_in_several_documents(self, caller: Caller):
        doc = {"_index": INDEX, "_id": "1"}
        docs = [doc, {**doc, "_source": ["title"]}]
        path = "/_mget?_source_exclude_vectors=false"
        answer = caller.ask("POST", path, {"docs": docs})
        self.check(answer["docs"][0]["_source"])
        assert answer["docs"][1]["_source"] == {"title": "the sea"}

    @pytest.mark.parametrize("pattern", ["_inference_fields", "_inf*", "*"])
    def test_where_a_filter_takes_it_in(self, caller: Caller, pattern: str):
        body = {"_source": ["title", pattern]}
        (hit,) = caller.ask("POST", f"/{INDEX}/_search", body)["hits"]["hits"]
        self.check(hit["_source"])
        query = f"?_source_includes=title,{pattern}"
        self.check(caller.ask("GET", f"/{INDEX}/_doc/1{query}")["_source"])
        self.check(
            caller.ask("POST", f"/{INDEX}/_mget{query}", {"ids": ["1"]})["docs"][0]["_source"]
        )

    @pytest.mark.parametrize(
        "filter", [{"includes": ["title"]}, {"excludes": ["_inference_fields"]}]
    )
    def test_not_where_a_filter_leaves_it_out(self, caller: Caller, filter: Any):
        body = {"_source": {**filter, "exclude_vectors": False}}
        (hit,) = caller.ask("POST", f"/{INDEX}/_search", body)["hits"]["hits"]
        assert "_inference_fields" not in hit["_source"]

    @pytest.mark.parametrize("is_in_url", [False, True])
    def test_whole_beside_a_filter_that_matches_parts_of_it(self, caller: Caller, is_in_url: bool):
        filter = {"exclude_vectors": False, "excludes": ["*ody", "*it*", "deep.text", "gr*"]}
        query = "?_source_exclude_vectors=false&_source_excludes=*ody,*it*,deep.text,gr*"
        body = {} if is_in_url else {"_source": filter}
        answer = caller.ask("POST", f"/{INDEX}/_search{query if is_in_url else ''}", body)
        (hit,) = answer["hits"]["hits"]
        self.check({"title": "the sea", **hit["_source"]})
        assert hit["_source"].keys() == {"_inference_fields", "deep"}

    @pytest.mark.parametrize("pattern", ["*field", "*start", "*embeddings"])
    def test_not_where_a_filter_has_left_nothing_of_it(self, caller: Caller, pattern: str):
        query = f"?_source_exclude_vectors=false&_source_excludes={pattern}"
        assert caller.ask("GET", f"/{INDEX}/_doc/1{query}")["_source"] == DOCUMENT

    def test_a_filter_that_elasticsearch_does_not_know_is_refused(self, caller: Caller):
        answer = caller.send("POST", f"/{INDEX}/_search", {"_source": {"include_vectors": True}})
        assert answer.status == 400
        assert "[include_vectors]" in answer.text


class TestCapabilities:
    """`_field_caps`."""

    def test_semantic_fields_are_texts_that_can_be_searched(self, caller: Caller):
        fields = caller.ask("GET", f"/{INDEX}/_field_caps?fields=*&filters=-metadata")["fields"]
        assert set(fields) == {
            "body",
            "deep",
            "deep.text",
            "group",
            "stands_for_body",
            "title",
            "title.sem",
        }
        text = {"type": "text", "metadata_field": False, "searchable": True, "aggregatable": False}
        assert fields["body"]["text"] == {**text, "meta": {"unit": ["page"]}}
        assert fields["deep.text"] == {"text": text}
        assert fields["stands_for_body"]["text"]["searchable"]

    def test_one_without_vectors_is_empty(self, caller: Caller):
        mappings = {"properties": {"a": {"type": "semantic_text"}, "b": {"type": "semantic_text"}}}
        caller.ask("PUT", "/reads-empty", {"mappings": mappings})
        path = "/reads-empty/_field_caps?fields=a,b&include_empty_fields=false"
        assert caller.ask("GET", path)["fields"] == {}
        caller.ask("PUT", "/reads-empty/_doc/1?refresh=true", {"a": "x"}, status=None)
        assert set(caller.ask("GET", path)["fields"]) == {"a"}
        assert caller.ask("GET", f"{path}&types=keyword")["fields"] == {}

    def test_semantic_in_one_index_and_not_indexed_in_another(self, caller: Caller):
        mappings = {"properties": {"body": {"type": "text", "index": False}}}
        caller.ask("PUT", "/reads-plain", {"mappings": mappings})
        path = f"/{INDEX},reads-plain/_field_caps?fields=body"
        body = caller.ask("GET", path)["fields"]["body"]["text"]
        assert body["searchable"] is False
        assert body["non_searchable_indices"] == ["reads-plain"]


def test_points_in_time_are_known_by_their_ids(caller: Caller):
    caller.ask("PUT", "/reads-shards", {"settings": {"number_of_shards": 3}})
    for _ in range(20):
        pit = caller.ask("POST", f"/{INDEX},reads-shards/_pit?keep_alive=1m")["id"]
        assert sorted(expression_of(pit).split(",")) == sorted((INDEX, "reads-shards"))
        caller.ask("DELETE", "/_pit", {"id": pit})


def test_pages_show_nothing_of_ours(caller: Caller):
    page = caller.ask("POST", f"/{INDEX}/_search?scroll=1m", {"size": 1, "fields": ["x*"]})
    scroll = {"scroll": "1m", "scroll_id": page["_scroll_id"]}
    caller.ask("PUT", f"/{INDEX}/_doc/8?refresh=true", DOCUMENT, status=None)
    pit = caller.ask("POST", f"/{INDEX}/_pit?keep_alive=1m")
    body = {"pit": {"id": pit["id"]}, "fields": ["*"]}
    for path, asked in (("/_search/scroll", scroll), ("/_search", body)):
        answer = caller.send("POST", path, asked)
        assert answer.status == 200, answer.text
        assert CONTAINER not in answer.text
    caller.ask("DELETE", f"/{INDEX}/_doc/8?refresh=true")
    caller.ask("DELETE", "/_pit", {"id": pit["id"]})
    caller.ask("DELETE", "/_search/scroll", {"scroll_id": page["_scroll_id"]})


@pytest.mark.parametrize("stored", [["_routing"], []])
def test_stored_fields_are_shown_without_a_source(caller: Caller, stored: list[str]):
    body = {"stored_fields": stored, "aggs": {"h": {"top_hits": {"stored_fields": "_none_"}}}}
    answer = caller.ask("POST", f"/{INDEX}/_search", body)
    assert "_source" not in orjson.dumps(answer).decode()
    found = caller.ask("GET", f"/{INDEX}/_doc/1?stored_fields={','.join(stored)}")
    assert found["found"]
    assert "_source" not in found


def test_stored_fields_of_one_document_among_several_hide_its_source_alone(caller: Caller):
    own = {"stored_fields": "_routing"}
    docs = [{"_id": "1"}, {"_id": "1", **own}, {"_id": "1", **own, "_source": True}]
    docs += [{"_id": "1", **SOURCE_TOO}, {"_id": "1", **own, "_source": ["title"]}]
    shown = [DOCUMENT, None, DOCUMENT, DOCUMENT, {"title": "the sea"}]
    for parameters, first in (("", DOCUMENT), ("?stored_fields=_routing", None)):
        found = caller.ask("POST", f"/{INDEX}/_mget{parameters}", {"docs": docs})["docs"]
        assert [one.get("_source") for one in found] == [first, *shown[1:]]
    everything = caller.ask("POST", f"/{INDEX}/_mget?_source=true", {"docs": docs})["docs"]
    assert [one.get("_source") for one in everything] == [DOCUMENT] * 4 + [{"title": "the sea"}]


@pytest.fixture
def sourceless(caller: Caller) -> Iterator[str]:
    """Indices of which one has semantic fields, and one keeps no sources."""
    caller.ask("PUT", "/reads-sourceless", {"mappings": {"_source": {"enabled": False}}})
    caller.ask("PUT", "/reads-sourceless/_doc/1?refresh=true", {"title": "sea"}, status=201)
    yield f"{INDEX},reads-sourceless"
    caller.ask("DELETE", "/reads-sourceless")


@pytest.mark.parametrize("parameters", ["", "?_source=true"])
def test_indices_without_sources_are_searched_with_others(
    caller: Caller, sourceless: str, parameters: str
):
    answer = caller.ask(
        "POST", f"/{sourceless}/_search{parameters}", {"query": QUERY, "sort": "_index"}
    )
    assert answer["_shards"]["failed"] == 0
    assert [hit.get("_source") for hit in answer["hits"]["hits"]] == [DOCUMENT, None]


def test_indices_without_sources_are_among_those_of_many_searches(caller: Caller, sourceless: str):
    search = {"query": QUERY, "sort": "_index"}
    lines = [{"index": INDEX}, search, {"index": sourceless}, search, {"index": INDEX}, search]
    found = caller.ask("POST", "/_msearch", lines)["responses"]
    shown = [[hit.get("_source") for hit in one["hits"]["hits"]] for one in found]
    assert shown == [[DOCUMENT], [DOCUMENT, None], [DOCUMENT]]


def test_inference_fields_are_shown_on_later_pages_and_in_many_searches(caller: Caller):
    asking = {"query": {"match_all": {}}, "fields": ["_inference_fields"]}
    (one,) = caller.ask("POST", "/_msearch", [{"index": INDEX}, asking])["responses"]
    (source,) = [hit["_source"] for hit in one["hits"]["hits"]]
    assert set(source["_inference_fields"]) == {"body", "deep.text", "title.sem"}
    caller.ask("PUT", f"/{INDEX}/_doc/2?refresh=true", DOCUMENT, status=201)
    page = caller.ask("POST", f"/{INDEX}/_search?scroll=1m", {**asking, "size": 1})
    again = caller.ask("POST", "/_search/scroll", {"scroll_id": page["_scroll_id"]})
    for found in (page, again):
        (hit,) = found["hits"]["hits"]
        assert hit["_source"] == {**source, **DOCUMENT}
    assert "_scroll_id" not in again  # as nobody wants a third page
    caller.ask("DELETE", f"/{INDEX}/_doc/2?refresh=true")


def test_what_a_user_calls_by_the_same_name_stays(caller: Caller):
    document = {"title": f"{CONTAINER}.body", "deep": {CONTAINER: {"a": 1}}}
    caller.ask("PUT", f"/{INDEX}/_doc/9?refresh=true", document, status=None)
    assert caller.ask("GET", f"/{INDEX}/_doc/9")["_source"] == document
    answer = caller.ask("POST", f"/{INDEX}/_search", {"query": {"ids": {"values": ["9"]}}})
    assert answer["hits"]["hits"][0]["_source"] == document
    caller.ask("DELETE", f"/{INDEX}/_doc/9?refresh=true")


def test_a_long_answer_is_not_cut_off(caller: Caller):
    lines: list[Any] = []
    for number in range(400):
        lines += [{"index": {"_id": f"long{number}"}}, {"title": "word " * 2000}]
    caller.ask("PUT", "/reads-long", {"mappings": {"properties": {"b": {"type": "semantic_text"}}}})
    caller.ask("POST", "/reads-long/_bulk?refresh=true", lines)
    answer = caller.send("POST", "/reads-long/_search", {"size": 400, "fields": ["*"]})
    assert len(orjson.loads(answer.content)["hits"]["hits"]) == 400
