"""Documents reach callers as the upstream shows them, whatever stands in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from proxy.semantic.documents import sources_apart
from proxy.xcontent.loading import load_json
from proxy.xcontent.writing import dump_json
from tests.support.processes import Serve
from tests.support.semantic import Caller
from tests.support.semanticprovider import semantic_reply
from tests.support.stubs import FaultyServer, in_thread

PREFIX: Final = "answers"
INDEX: Final = f"{PREFIX}-semantic"
PLAIN: Final = f"{PREFIX}-plain"
COPY: Final = f"{PREFIX}-copy"
VECTORS: Final = f"{PREFIX}-vectors"
OWN: Final = f"{PREFIX}-own"
LARGE: Final = f"{PREFIX}-large"
NUMBER: Final = 80  # of documents in it
INDICES: Final = (INDEX, PLAIN, COPY, VECTORS, OWN, LARGE)
KEEP: Final = {"type": "object", "enabled": False}
FIELD: Final = {"type": "semantic_text", "inference_id": f"{PREFIX}-embed"}
VECTOR: Final = {"type": "dense_vector", "dims": 2}
LONG, DIGITS = "12345678901234567890123", "0.1234567890123456789"
# What a fast parser refuses or rounds, or what would be written otherwise.
ODD: Final = (
    rb'{"body":"sea","keep":{"big":1e400,"one":1.0,"price":1.10,"e":1E5,"zero":-0,'
    rb'"long":12345678901234567890123,"digits":0.1234567890123456789,"half":"x\ud83d",'
    rb'"slash":"\/"} /* a } comment */}'
)
SEMANTIC: Final = {"semantic": {"field": "body", "query": "sea"}}
LENIENT: Final = {"semantic": {"field": "body", "query": "sea", "lenient": True}}
ALL: Final[Any] = {"match_all": {}}


@dataclass(frozen=True, slots=True)
class Place:
    proxy: Caller
    direct: Caller

    def shown(self, method: str, path: str, body: Any = None) -> bytes:
        """The first source in the proxy's answer."""
        return source_in(self.proxy, method, path, body)

    def stored(self, index: str = INDEX) -> bytes:
        """The source of the document as the upstream shows it."""
        return source_in(self.direct, "GET", f"/{index}/_doc/1?_source_excludes=xinf", None)


def source_in(caller: Caller, method: str, path: str, body: Any) -> bytes:
    """The first source in an answer; what is between its tokens does not count."""
    answer = caller.send(method, path, body)
    assert answer.status < 300, answer.text
    found = sources_apart(answer.content)[1]
    assert found, answer.text
    return dump_json(load_json(found[0]))


def keep_in(source: bytes) -> bytes:
    return dump_json(load_json(source)["keep"])


@pytest.fixture(scope="module")
def place(serve_for_session: Serve, elasticsearch) -> Iterator[Place]:
    env = {
        "HFPROXY_SEMANTIC_ENABLED": "true",
        "HFPROXY_STORE_INDEX": f"hugging-face-inference-endpoints-{PREFIX}",
    }
    with in_thread(FaultyServer(semantic_reply)) as provider:
        proxy = Caller(serve_for_session(upstream=elasticsearch.url, env=env).url)
        direct = Caller(elasticsearch.url)
        proxy.put_endpoint(f"{PREFIX}-embed", f"{provider.url}/embed")
        properties = {"body": FIELD, "keep": KEEP}
        proxy.ask("PUT", f"/{INDEX}", {"mappings": {"properties": properties}})
        plain = {"body": {"type": "text"}, "keep": KEEP}
        direct.ask("PUT", f"/{PLAIN}", {"mappings": {"properties": plain}})
        for target in (INDEX, PLAIN):
            proxy.ask("PUT", f"/{target}/_doc/1?refresh=true", ODD, status=201)
        yield Place(proxy, direct)
        direct.ask("DELETE", f"/{','.join(INDICES)}?ignore_unavailable=true")


RRF: Final = {
    "rrf": {"retrievers": [{"standard": {"query": SEMANTIC}}, {"standard": {"query": ALL}}]}
}
HIGHLIGHT: Final[Any] = {"fields": {"body": {}}}
SHOWING: Final = [
    ("GET", f"/{INDEX}/_doc/1", None),
    ("POST", f"/{INDEX}/_mget", {"ids": ["1"]}),
    ("POST", f"/{INDEX}/_search", {"query": SEMANTIC}),
    ("POST", f"/{INDEX}/_search", {"query": SEMANTIC, "highlight": HIGHLIGHT}),
    ("POST", f"/{INDEX}/_search", {"query": ALL, "profile": True, "explain": True}),
    ("POST", f"/{INDEX}/_search", {"retriever": RRF}),
    ("POST", f"/{INDEX}/_search", {"retriever": RRF, "explain": True}),
    ("POST", f"/{INDEX}/_search", {"size": 0, "aggs": {"a": {"top_hits": {}}}}),
    ("POST", "/_msearch", [{"index": INDEX}, {"query": SEMANTIC, "highlight": HIGHLIGHT}]),
    ("POST", f"/{INDEX}/_explain/1?_source=true", {"query": SEMANTIC}),
    ("POST", f"/{INDEX}/_update/1?_source=true", {"doc": {"new": 1}}),
    ("POST", "/_bulk?_source=true", [{"update": {"_index": INDEX, "_id": "1"}}, {"doc": {}}]),
]


@pytest.mark.parametrize(("method", "path", "body"), SHOWING)
def test_a_source_is_shown_as_the_upstream_shows_it(place, method, path, body):
    shown = place.shown(method, path, body)
    assert keep_in(shown) == keep_in(place.stored())
    assert b"12345678901234567890123" in shown
    assert rb"x\ud83d" in shown.lower()


@pytest.mark.parametrize("form", ["", "?pretty"])
def test_pages_of_a_scroll_show_it_too(place, form):
    body = {"size": 1, "query": {"terms": {"_index": [INDEX, PLAIN]}}, "sort": ["_index"]}
    first = place.proxy.send("POST", f"/{PLAIN},{INDEX}/_search?scroll=1m", body)
    scroll = {"scroll_id": load_json(first.content)["_scroll_id"]}
    shown = place.shown("POST", f"/_search/scroll{form}", {**scroll, "scroll": "1m"})
    assert keep_in(shown) == keep_in(place.stored())
    place.proxy.ask("DELETE", "/_search/scroll", scroll)


# An index with vectors has its documents written anew by the upstream; others have not.
BOTH: Final = f"/{PLAIN},{INDEX}/_search"
NOTHING_LEFT_OUT: Final = {
    "query": {"bool": {"must": [{"term": {"_index": PLAIN}}], "should": [LENIENT]}},
    "_source": {"exclude_vectors": False},
    "highlight": HIGHLIGHT,
}


@pytest.mark.parametrize("form", ["", "?filter_path=hits.hits._source", "?pretty"])
def test_what_the_upstream_does_not_write_anew_is_not_written_anew(place, form):
    shown = place.shown("POST", f"{BOTH}{form}", NOTHING_LEFT_OUT)
    assert keep_in(shown) == keep_in(ODD)


def test_other_formats_have_such_numbers_too(place):
    answer = place.proxy.send("POST", f"{BOTH}?format=yaml", NOTHING_LEFT_OUT)
    assert "big: 1.0e+400\n" in answer.text
    assert "long: 12345678901234567890123\n" in answer.text


def test_a_document_is_copied_as_it_is(place):
    names = ("big", "price", "e", "long", "digits")
    below = {name: {"type": "keyword"} for name in names}
    properties = {"body": FIELD, "keep": {"properties": below}}
    place.proxy.ask("PUT", f"/{COPY}", {"mappings": {"properties": properties}})
    body = {"source": {"index": PLAIN}, "dest": {"index": COPY}}
    assert place.proxy.ask("POST", "/_reindex?refresh=true", body)["created"] == 1
    for name, text in zip(names, ("1e400", "1.10", "1E5", LONG, DIGITS), strict=True):
        query = {"query": {"term": {f"keep.{name}": text}}}
        assert place.direct.ask("POST", f"/{COPY}/_count", query)["count"] == 1, name
    assert keep_in(place.stored(COPY)) == keep_in(place.stored())


def test_vectors_of_the_users_own_are_copied(place):
    properties = {"body": {"type": "text"}, "own": VECTOR}
    place.direct.ask("PUT", f"/{OWN}", {"mappings": {"properties": properties}})
    document = {"own": [0.5, 1], "body": "x"}
    place.direct.ask("PUT", f"/{OWN}/_doc/1?refresh=true", document, status=201)
    properties = {"body": FIELD, "own": VECTOR}
    place.proxy.ask("PUT", f"/{VECTORS}", {"mappings": {"properties": properties}})
    body = {"source": {"index": OWN}, "dest": {"index": VECTORS}}
    place.proxy.ask("POST", "/_reindex?refresh=true", body)
    place.proxy.ask("POST", f"/{VECTORS}/_update_by_query?refresh=true", {})
    knn = {"field": "own", "query_vector": [0.5, 1], "k": 1}
    assert len(place.proxy.ask("POST", f"/{VECTORS}/_search", {"knn": knn})["hits"]["hits"]) == 1


@pytest.mark.parametrize("half", [rb"\ud83d", b"\xed\xa0\xbd"])
@pytest.mark.parametrize(
    "query", [b'{"match":{"t":"%b"}}', b'{"semantic":{"field":"body","query":"%b"}}']
)
def test_halves_of_characters_are_no_fault_in_a_search(place, query, half):
    query = query % half
    body = b'{"query":{"bool":{"should":[{"match_all":{}},%b]}}}' % query
    assert keep_in(place.shown("POST", f"/{INDEX}/_search", body)) == keep_in(place.stored())
    lines = b'{"index":"%b"}\n%b\n' % (INDEX.encode(), body)
    assert keep_in(place.shown("POST", "/_msearch", lines)) == keep_in(place.stored())
    retriever = b'{"standard":{"query":%b}}' % query
    body = b'{"retriever":{"rrf":{"retrievers":[%b,%b]}}}' % (retriever, retriever)
    assert place.proxy.send("POST", f"/{INDEX}/_search", body).status == 200


@pytest.fixture(scope="module")
def narrow(place: Place, serve_for_session: Serve, elasticsearch) -> Caller:
    """A proxy that reads little of an answer, and an index with longer ones."""
    env = {
        "HFPROXY_SEMANTIC_ENABLED": "true",
        "HFPROXY_STORE_INDEX": f"hugging-face-inference-endpoints-{PREFIX}",
        "HFPROXY_UPSTREAM_ANSWER_SIZE": "20000",
    }
    place.proxy.ask("PUT", f"/{LARGE}", {"mappings": {"properties": {"body": FIELD}}})
    lines: list[Any] = []
    for number in range(NUMBER):
        lines += [{"index": {"_id": str(number)}}, {"body": f"sea {number} " * 100}]
    place.proxy.ask("POST", f"/{LARGE}/_bulk?refresh=true", lines)
    return Caller(serve_for_session(upstream=elasticsearch.url, env=env).url)


LEAF: Final = {"standard": {"query": SEMANTIC}}
MOST: Final = {"size": NUMBER}


@pytest.mark.parametrize(
    "body",
    [
        {"retriever": {"rrf": {"retrievers": [LEAF, LEAF], "rank_window_size": NUMBER}}},
        {"query": SEMANTIC, "highlight": HIGHLIGHT},
        {"query": SEMANTIC, "fields": [{"field": "body", "format": "chunks"}]},
    ],
)
def test_an_answer_that_is_too_large_to_be_changed_says_what_to_do(narrow: Caller, body: Any):
    error = narrow.error("POST", f"/{LARGE}/_search", {**body, **MOST, "explain": True})
    assert error["type"] == "illegal_argument_exception"
    assert "more than [20000] bytes" in error["reason"]
    assert "[upstream.answer_size]" in error["reason"]
    few = narrow.ask("POST", f"/{LARGE}/_search", {**body, "size": 1})
    assert len(few["hits"]["hits"]) == 1


def test_an_answer_without_anything_to_add_may_have_any_size(narrow: Caller):
    """Of what the layer has added nothing is seen all the same."""
    asked = {"query": SEMANTIC, "fields": ["*"], **MOST}
    searches = {"query": ALL, "fields": ["*"], "size": NUMBER // 2}
    answers = [
        narrow.send("POST", f"/{LARGE}/_search", asked),
        narrow.send("POST", f"/{LARGE}/_search?scroll=1m", searches),
    ]
    page = {"scroll": "1m", "scroll_id": load_json(answers[1].content)["_scroll_id"]}
    answers.append(narrow.send("POST", "/_search/scroll", page))
    found = [load_json(one.content)["hits"]["hits"] for one in answers]
    assert [len(hits) for hits in found] == [NUMBER, NUMBER // 2, NUMBER // 2]
    assert all(len(one.content) > 20000 for one in answers)
    assert all(set(hit["_source"]) == {"body"} for hits in found for hit in hits)
    assert all(b"xinf" not in one.content for one in answers)
    narrow.ask("DELETE", "/_search/scroll", {"scroll_id": page["scroll_id"]})
