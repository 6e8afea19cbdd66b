"""Highlights of semantic fields, and their chunks, before a real Elasticsearch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson
import pytest

from testbed.elasticsearch import Elasticsearch
from tests.integration.semantic.meaningful import Place, field, place, semantic
from tests.support.processes import Serve

BODY: Final = ["amber quartz", "  ", "harbour pilot ships 🚢 at sea", "harbour baker", "gold"]
CHUNKS: Final = [text for text in BODY if text.strip()]
QUERY: Final = "harbour pilot ships"
ALL: Final[dict[str, Any]] = {"match_all": {}}
# Sentences of about as many words as a chunk may have: each becomes one, but for the blanks.
LONG: Final = " ".join(f"{word} " * 19 + f"{word}." for word in ("zinc", "owl", "fox🦊", "iron"))


@pytest.fixture(scope="module")
def here(serve_for_session: Serve, elasticsearch: Elasticsearch) -> Iterator[Place]:
    with place(serve_for_session, elasticsearch, "t-highlights") as found:
        found.index(
            "a",
            {"1": {"title": QUERY, "body": BODY, "group": "g"}},
            title={"type": "text", "copy_to": "copied"},
            body=field(found.endpoint("e")),
            copied=field(found.name("e")),
            nick={"type": "alias", "path": "body"},
            never=field(found.name("e")),
            group={"type": "keyword"},
        )
        pages = {"1": {"body": BODY}, "2": {"body": BODY[2:]}}
        found.index("pages", pages, body=field(found.name("e")))
        found.index("text", {"t": {"body": QUERY}}, body={"type": "text"})
        chunking = {"strategy": "sentence", "max_chunk_size": 20, "sentence_overlap": 0}
        documents = {"1": {"body": {"text": LONG}}}
        inner = field(found.name("e"), chunking_settings=chunking)
        found.index("long", documents, body={"properties": {"text": inner}})
        yield found


def highlight(answer: Any, name: str = "body") -> Any:
    return answer["hits"]["hits"][0].get("highlight", {}).get(name)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, CHUNKS),
        ({"type": "semantic"}, CHUNKS),
        ({"number_of_fragments": 1}, [CHUNKS[1]]),
        ({"number_of_fragments": 0}, [CHUNKS[1]]),
        ({"number_of_fragments": 2}, [CHUNKS[0], CHUNKS[1]]),
        ({"number_of_fragments": 2, "order": "score"}, [CHUNKS[1], CHUNKS[0]]),
        ({"number_of_fragments": 1, "pre_tags": ["<b>"], "fragment_size": 3}, [CHUNKS[1]]),
        ({"highlight_query": semantic("gold"), "number_of_fragments": 1}, [CHUNKS[3]]),
        ({"highlight_query": ALL, "number_of_fragments": 2}, CHUNKS[:2]),
    ],
)
def test_the_nearest_chunks(here, options, expected):
    for query in (semantic(QUERY), {"match": {"body": QUERY}}):
        answer = here.search("a", query, highlight={"fields": {"body": options}})
        assert highlight(answer) == expected


@pytest.mark.parametrize("kind", ["plain", "unified"])
def test_words_are_highlighted_beside_a_search_by_meaning(here, kind):
    words = {"match": {"title": "pilot"}}
    asked = {"type": kind, "fields": {"title": {}}}
    marked = ["harbour <em>pilot</em> ships"]
    both = {"bool": {"must": [semantic(QUERY)], "should": [words]}}
    assert highlight(here.search("a", both, highlight=asked), "title") == marked
    assert highlight(here.search("a", semantic(QUERY), highlight=asked), "title") is None
    aggs = {"best": {"top_hits": {"highlight": asked}}}
    answer = here.search("a", both, aggs=aggs)["aggregations"]["best"]
    assert highlight(answer, "title") == marked


def test_in_the_order_of_scores(here):
    options = {"order": "score", "number_of_fragments": 2}
    answer = here.search("a", semantic("baker harbour"), highlight={"fields": {"body": options}})
    assert highlight(answer) == [CHUNKS[2], CHUNKS[1]]


@pytest.mark.parametrize(
    "shown",
    [
        {"number_of_fragments": 1, "fields": {"body": {}}},
        {"type": "semantic", "fields": {"body": {"number_of_fragments": 1}}},
        {"highlight_query": semantic(QUERY), "fields": [{"body": {"number_of_fragments": 1}}]},
    ],
)
def test_options_of_all_fields(here, shown):
    query = semantic("gold") if "highlight_query" in shown else semantic(QUERY)
    assert highlight(here.search("a", query, highlight=shown)) == [CHUNKS[1]]


def test_all_chunks_where_everything_is_found(here):
    fields = {"body": {"number_of_fragments": 3}}
    for body in ({}, {"query": ALL}):
        assert highlight(here.search("a", **body, highlight={"fields": fields})) == CHUNKS[:3]


@pytest.mark.parametrize(
    ("query", "name", "options"),
    [
        ({"match": {"title": QUERY}}, "body", {}),
        ({"match": {"title": QUERY}}, "title", {"type": "semantic"}),
        (semantic(QUERY), "never", {}),
        (semantic(QUERY), "copied", {}),
        (
            {"bool": {"must_not": semantic("gold", "never"), "must": {"term": {"_id": "1"}}}},
            "body",
            {},
        ),
    ],
)
def test_no_highlight_where_nothing_was_searched_for(here, query, name, options):
    answer = here.search("a", query, highlight={"fields": {name: options}})
    assert highlight(answer, name) is None


def test_other_fields_keep_their_highlights(here):
    query = {"bool": {"must": [semantic(QUERY), {"match": {"title": "pilot"}}]}}
    fields = {"body": {"number_of_fragments": 1}, "title": {}}
    answer = here.search("a", query, highlight={"fields": fields})
    assert answer["hits"]["hits"][0]["highlight"] == {
        "body": [CHUNKS[1]],
        "title": ["harbour <em>pilot</em> ships"],
    }


def test_a_text_of_the_same_name_elsewhere(here):
    query = {"match": {"body": QUERY}}
    answer = here.search(
        "a,text", query, highlight={"fields": {"body": {"number_of_fragments": 1}}}
    )
    shown = {hit["_id"]: hit["highlight"]["body"] for hit in answer["hits"]["hits"]}
    assert shown == {"1": [CHUNKS[1]], "t": ["<em>harbour</em> <em>pilot</em> <em>ships</em>"]}


def test_texts_are_cut_from_where_they_came(here):
    answer = here.search(
        "a", semantic(QUERY, "copied"), _source=False, highlight={"fields": {"copied": {}}}
    )
    assert highlight(answer, "copied") == [QUERY]
    assert "_source" not in answer["hits"]["hits"][0]


def test_chunks_of_a_long_text_with_emojis(here):
    fields = {"body.text": {"number_of_fragments": 1}}
    for word in ("owl", "iron", "zinc"):
        query = semantic(word, "body.text")
        (chunk,) = highlight(here.search("long", query, highlight={"fields": fields}), "body.text")
        assert chunk.split()[0].strip(".") == word
        assert chunk in LONG


def test_aliases(here):
    answer = here.search(
        "a", {"match": {"nick": QUERY}}, highlight={"fields": {"nick": {"number_of_fragments": 1}}}
    )
    assert highlight(answer, "nick") == [CHUNKS[1]]


def test_vector_searches(here):
    build = {"text_embedding": {"model_text": QUERY}}
    knn = {"field": "body", "k": 5, "num_candidates": 10, "query_vector_builder": build}
    shown = {"fields": {"body": {"number_of_fragments": 1}}}
    for body in ({"query": {"knn": knn}}, {"knn": knn}, {"retriever": {"knn": knn}}):
        assert highlight(here.search("a", **body, highlight=shown)) == [CHUNKS[1]]


# --- chunks as values


def test_chunks_as_values(here):
    chunks = {"field": "body", "format": "chunks"}
    answer = here.search("a", ALL, fields=[chunks, "title"], _source=False)
    assert answer["hits"]["hits"][0]["fields"] == {"body": CHUNKS, "title": [QUERY]}
    assert "_source" not in answer["hits"]["hits"][0]


def test_formats_that_there_are_not(here):
    status, document = here.ask("a", ALL, fields=[{"field": "body", "format": "lumps"}])
    assert status == 400
    assert document["error"]["root_cause"][0]["reason"].endswith(
        "Unknown format [lumps] for field [body], only [chunks] is supported."
    )


# --- other ways to search


def test_many_searches(here):
    search = {
        "query": semantic(QUERY),
        "highlight": {"fields": {"body": {"number_of_fragments": 1}}},
    }
    lines = b'{}\n%b\n{"index":["%b"]}\n%b\n' % (
        orjson.dumps({"query": ALL, "size": 1}),
        here.name("a").encode(),
        orjson.dumps(search),
    )
    status, document = here.post(f"/{here.name('text')}/_msearch", lines)
    assert status == 200
    assert [highlight(one) for one in document["responses"]] == [None, [CHUNKS[1]]]


def test_a_point_in_time(here):
    pit = here.post(f"/{here.name('a')}/_pit?keep_alive=1m")[1]["id"]
    search = {
        "pit": {"id": pit},
        "query": semantic(QUERY),
        "highlight": {"fields": {"body": {"number_of_fragments": 1}}},
    }
    status, document = here.post("/_search", search)
    assert status == 200
    assert highlight(document) == [CHUNKS[1]]
    assert "_source" in document["hits"]["hits"][0]


# Hits within hits, in buckets, and on further pages


ONE: Final = {"fields": {"body": {"number_of_fragments": 1}}}


def inner(answer: Any, name: str = "i") -> Any:
    return answer["hits"]["hits"][0]["inner_hits"][name]


@pytest.mark.parametrize("query", [semantic(QUERY), {"bool": {"must": semantic(QUERY)}}])
def test_hits_within_hits(here, query):
    chunks = {"fields": [{"field": "body", "format": "chunks"}]}
    several = [{"name": "i", "highlight": ONE}, {"name": "j", **chunks}, {"name": "k"}]
    answer = here.search("a", query, collapse={"field": "group", "inner_hits": several})
    assert highlight(inner(answer)) == [CHUNKS[1]]
    assert inner(answer, "j")["hits"]["hits"][0]["fields"]["body"] == CHUNKS
    assert "highlight" not in inner(answer, "k")["hits"]["hits"][0]
    assert highlight(answer) is None


def test_hits_within_hits_have_queries_of_their_own(here):
    fields = {"body": {"highlight_query": semantic("gold"), "number_of_fragments": 1}}
    own = {"name": "i", "highlight": {"type": "semantic", "fields": fields}}
    answer = here.search("a", semantic(QUERY), collapse={"field": "group", "inner_hits": own})
    assert highlight(inner(answer)) == [CHUNKS[3]]


@pytest.mark.parametrize("keys", ["", "?typed_keys"])
def test_hits_in_buckets(here, keys):
    top = {"t": {"top_hits": {"size": 1, "highlight": ONE}}}
    aggregations = {"g": {"terms": {"field": "group"}, "aggs": top}}
    body = {"query": semantic(QUERY), "aggs": aggregations}
    _, answer = here.post(f"/{here.name('a')}/_search{keys}", body)
    (groups,) = answer["aggregations"].values()
    (bucket,) = groups["buckets"]
    found = next(one for name, one in bucket.items() if name in ("t", "top_hits#t"))
    assert highlight(found) == [CHUNKS[1]]


@pytest.mark.parametrize("pattern", ["*", "bo*", "*dy"])
def test_patterns_stand_for_texts_alone(here, pattern):
    query = {"bool": {"should": [semantic(QUERY), {"match": {"title": QUERY}}]}}
    options: Any = {"require_field_match": False, "fields": {pattern: {}}}
    answer = here.search("a", query, highlight=options)
    assert highlight(answer) is None
    assert highlight(answer, "title") == (
        ["<em>harbour</em> <em>pilot</em> <em>ships</em>"] if pattern == "*" else None
    )
    options["fields"]["body"] = {"number_of_fragments": 1}
    assert highlight(here.search("a", query, highlight=options)) == [CHUNKS[1]]


def scrolled(here: Place, **body: Any) -> Any:
    """The first page of a scroll over two documents."""
    target = f"/{here.name('pages')}/_search?scroll=1m"
    return here.post(target, {"size": 1, "query": semantic(QUERY), **body})[1]


def test_further_pages_of_a_scroll(here):
    answer = scrolled(here, highlight=ONE, fields=[{"field": "body", "format": "chunks"}])
    found = []
    while answer["hits"]["hits"]:
        (hit,) = answer["hits"]["hits"]
        found.append((hit["highlight"]["body"], len(hit["fields"]["body"])))
        body = {"scroll": "1m", "scroll_id": answer["_scroll_id"]}
        status, answer = here.post("/_search/scroll", body)
        assert status == 200
    assert sorted(found) == [([CHUNKS[1]], 3), ([CHUNKS[1]], 4)]


@pytest.mark.parametrize("place_of_id", ["path", "parameter", "body"])
def test_an_id_of_a_scroll_may_stand_anywhere(here, place_of_id):
    def ask(method: str, scroll_id: str, **more: Any) -> Any:
        target = {"path": f"/{scroll_id}", "parameter": f"?scroll_id={scroll_id}"}
        body = {"scroll_id": scroll_id, **more} if place_of_id == "body" else more
        return here.client(method, f"/_search/scroll{target.get(place_of_id, '')}", body)

    first = scrolled(here, highlight=ONE)["_scroll_id"]
    second = ask("POST", first, scroll="1m").document
    assert highlight(second) == [CHUNKS[1]]
    ended = ask("DELETE", second["_scroll_id"])
    assert ended.document == {"succeeded": True, "num_freed": 1}
    assert ask("POST", first).status == 404


def test_several_scrolls_are_ended_together(here):
    plain = scrolled(here)["_scroll_id"]
    both = [scrolled(here, highlight=ONE)["_scroll_id"], plain]
    ended = here.client("DELETE", "/_search/scroll", {"scroll_id": both})
    assert ended.document["num_freed"] == 2
    assert here.client("DELETE", "/_search/scroll/_all").status == 200
