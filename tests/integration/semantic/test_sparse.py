"""Searches in fields of sparse endpoints before a real Elasticsearch.

The weights are known, so scores are worked out here: the dot product with the nearest chunk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pytest

from testbed.elasticsearch import Elasticsearch
from tests.integration.semantic.meaningful import Place, field, ids, place, scores, semantic
from tests.support.meaning import vector, weights
from tests.support.processes import Serve

TEXTS: Final[dict[str, list[str]]] = {
    "1": ["harbour pilot ships", "an oven"],
    "2": ["harbour baker"],
    "3": ["kneads gold lead"],
    "4": ["ships of the harbour, ships of gold"],
    "5": ["release v1.2 of the oven"],
}
QUERY: Final = "harbour pilot ships"
NATIVE: Final = "body.inference.chunks"


def sparse(endpoint: str, **more: Any) -> Any:
    return {"type": "semantic_text", "inference_id": endpoint, **more}


@pytest.fixture(scope="module")
def here(serve_for_session: Serve, elasticsearch: Elasticsearch) -> Iterator[Place]:
    with place(serve_for_session, elasticsearch, "t-sparse") as found:
        endpoint, dense = found.endpoint("e", "/sparse"), found.endpoint("dense")
        keyword = {"type": "keyword"}
        documents = {
            key: {"body": texts, "team": "x" if key < "3" else "y"} for key, texts in TEXTS.items()
        }
        alias = {"type": "alias", "path": "body"}
        found.index("a", documents, body=sparse(endpoint), nick=alias, team=keyword)
        words = {"body": QUERY, "title": QUERY, "tokens": {"harbour": 1.0}}
        titled = {"title": {"type": "text"}, "tokens": {"type": "sparse_vector"}}
        found.index("titled", {"w": words}, body=sparse(endpoint), **titled)
        found.index("other", {"o": {"body": QUERY}}, body=sparse(found.endpoint("e2", "/sparse")))
        found.index("dense", {"d": {"body": QUERY}, "e": {"body": "gold"}}, body=field(dense))
        found.index("plain", {"p": {"body": {"ships": 2.0}}}, body={"type": "sparse_vector"})
        found.index("none", {}, body=sparse(endpoint))
        yield found


def product(query: Mapping[str, float], text: str) -> float:
    held = weights(text)
    return sum(weight * held.get(token, 0.0) for token, weight in query.items())


def expected(query: str | Mapping[str, float], texts: Mapping[str, Sequence[str]] = TEXTS) -> Any:
    """The scores of what shares a word with a query."""
    sought = weights(query) if isinstance(query, str) else query
    best = {key: max(product(sought, text) for text in each) for key, each in texts.items()}
    return pytest.approx({key: score for key, score in best.items() if score}, abs=1e-6)


def tokens(name: str = "body", **more: Any) -> Any:
    return {"sparse_vector": {"field": name, **more}}


def shard_error(document: Any) -> str:
    error = document.get("error", {})
    failures = error.get("failed_shards") or document["_shards"]["failures"]
    return str(failures[0]["reason"]["reason"])


@pytest.mark.parametrize("kind", ["plain", "unified"])
@pytest.mark.parametrize("name", ["body", "tokens"])
def test_words_are_highlighted_beside_tokens(here, kind, name):
    sought = semantic(QUERY) if name == "body" else tokens(name, query_vector={"harbour": 1.0})
    both = {"bool": {"must": [sought, {"match": {"title": "pilot"}}]}}
    highlight = {"type": kind, "fields": {"title": {}}}
    (hit,) = here.search("titled", both, highlight=highlight)["hits"]["hits"]
    assert hit["highlight"] == {"title": ["harbour <em>pilot</em> ships"]}


# --- scores


@pytest.mark.parametrize(
    "query",
    [
        semantic(QUERY),
        {"match": {"body": QUERY}},
        {"match": {"nick": {"query": QUERY}}},
        tokens(query=QUERY),
        tokens(query=QUERY, prune=False),
        tokens("nick", query=QUERY),
        tokens(query_vector=weights(QUERY)),
        tokens(f"{NATIVE}.embeddings", query_vector=weights(QUERY)),
        {
            "nested": {
                "path": NATIVE,
                "score_mode": "max",
                "query": tokens(f"{NATIVE}.embeddings", query_vector=weights(QUERY)),
            }
        },
    ],
)
def test_scores_are_those_of_the_nearest_chunk(here, query):
    assert scores(here.search("a", query)) == expected(QUERY)


def test_an_endpoint_may_be_named(here):
    query = tokens(query=QUERY, inference_id=here.name("e2"))
    assert scores(here.search("a", query)) == expected(QUERY)
    inside = tokens(f"{NATIVE}.embeddings", query=QUERY, inference_id=here.name("e2"))
    nested = {"nested": {"path": NATIVE, "score_mode": "max", "query": inside}}
    assert scores(here.search("a", nested)) == expected(QUERY)


def test_a_text_is_embedded_once(here):
    again = {"bool": {"should": [semantic(QUERY), {"match": {"body": QUERY}}]}}
    with here.embedding() as calls:
        here.search("a", {"bool": {"should": [again, tokens(query=QUERY)]}})
    assert calls == [[QUERY]]


def test_boost_and_name(here):
    for query in (semantic(QUERY, boost=2, _name="n"), tokens(query=QUERY, boost=2, _name="n")):
        answer = here.search("a", query)
        doubled = {token: 2 * weight for token, weight in weights(QUERY).items()}
        assert scores(answer) == expected(doubled)
        assert answer["hits"]["hits"][0]["matched_queries"] == ["n"]


def test_tokens_may_have_dots(here):
    assert scores(here.search("a", semantic("v1.2"))) == expected("v1.2")
    assert ids(here.search("a", tokens(query_vector={"v1.2": 1.0}))) == ["5"]


@pytest.mark.parametrize("text", ["🚢", "nowhere"])
def test_a_query_of_no_known_tokens_finds_nothing(here, text):
    for query in (semantic(text), tokens(query=text)):
        assert ids(here.search("a", query)) == []


def test_what_stands_around_a_query_holds(here):
    within = {"bool": {"must": semantic(QUERY), "filter": {"term": {"team": "y"}}}}
    texts = {key: each for key, each in TEXTS.items() if key >= "3"}
    assert scores(here.search("a", within)) == expected(QUERY, texts)
    without = {"bool": {"must": semantic(QUERY), "must_not": {"match": {"body": "pilot"}}}}
    assert set(ids(here.search("a", without))) == {"2", "4"}


def test_all_that_match_are_found_whatever_the_size(here):
    """A vector search finds k on each shard; tokens are looked up."""
    answer = here.search("a", semantic("harbour ships gold oven"), size=1)
    assert (len(ids(answer)), answer["hits"]["total"]["value"]) == (1, 5)


def test_exists_and_fields_that_nothing_was_written_to(here):
    assert set(ids(here.search("a", {"exists": {"field": "body"}}))) == set(TEXTS)
    assert ids(here.search("none", {"exists": {"field": "body"}})) == []
    assert ids(here.search("none", semantic(QUERY))) == []
    assert ids(here.search("none", tokens(query=QUERY))) == []


def test_counts_and_explanations(here):
    status, document = here.post(f"/{here.name('a')}/_count", {"query": semantic(QUERY)})
    assert (status, document["count"]) == (200, 3)
    status, document = here.post(f"/{here.name('a')}/_explain/2", {"query": semantic(QUERY)})
    assert document["explanation"]["value"] == expected(QUERY).expected["2"]


# --- several indices


DENSE: Final = {"d": QUERY, "e": "gold"}
BOTH: Final = {**TEXTS, "o": [QUERY]}  # of two indices


def cosine(one: str, other: str) -> float:
    return sum(a * b for a, b in zip(vector(one), vector(other), strict=True))


def test_each_index_is_searched_by_its_own_kind(here):
    near = {key: (1 + cosine(QUERY, text)) / 2 for key, text in DENSE.items()}
    for query in (semantic(QUERY), {"match": {"body": QUERY}}):
        found = scores(here.search("a,other,dense", query))
        assert {key: found.pop(key) for key in DENSE} == pytest.approx(near, abs=1e-6)
        assert found == expected(QUERY, BOTH)


def test_fields_of_several_endpoints(here):
    assert scores(here.search("a,other", tokens(query=QUERY))) == expected(QUERY, BOTH)


def test_a_field_that_is_no_text_elsewhere(here):
    status, document = here.ask("a,plain", tokens(query=QUERY))
    reason = "inference_id required to perform vector search on query string"
    assert (status, document["error"]["reason"]) == (400, reason)
    named = tokens(query=QUERY, inference_id=here.name("e"))
    for query in (named, tokens(query_vector=weights(QUERY))):
        found = scores(here.search("a,other,plain", query))
        assert found.pop("p") == weights(QUERY)["ships"] * 2.0
        assert found == expected(QUERY, BOTH)


def test_fields_of_the_users_own(here):
    """Also where no index at all is semantic, and beside a query of words."""
    named = tokens(query=QUERY, inference_id=here.name("e"))
    with here.embedding() as calls:
        assert scores(here.search("plain", named)) == {"p": weights(QUERY)["ships"] * 2.0}
    assert calls == [[QUERY]]
    doubled = tokens(query=QUERY, inference_id=here.name("e"), boost=2, _name="n")
    (hit,) = here.search("plain", {"bool": {"should": [doubled]}})["hits"]["hits"]
    assert (hit["_score"], hit["matched_queries"]) == (weights(QUERY)["ships"] * 4.0, ["n"])
    status, document = here.ask("plain", tokens(query=QUERY, inference_id=here.name("dense")))
    assert (status, "Is [t-sparse-dense] a compatible model?" in str(document)) == (400, True)
    status, document = here.post(f"/{here.name('plain')}/_count", {"query": named})
    assert (status, document["count"]) == (200, 1)


def test_what_a_pipeline_has_filled_is_searched(here):
    endpoint = here.name("e")
    fill = {"input_output": {"input_field": "body", "output_field": "own"}, "model_id": endpoint}
    pipeline = f"/_ingest/pipeline/{here.name('fill')}"
    here.client("PUT", pipeline, {"processors": [{"inference": fill}]})
    texts = {key: {"body": " ".join(each)} for key, each in TEXTS.items()}
    here.index("filled", {}, own={"type": "sparse_vector"})
    for key, document in texts.items():
        target = f"/{here.name('filled')}/_doc/{key}?refresh=true&pipeline={here.name('fill')}"
        assert here.client("PUT", target, document).status == 201
    query = tokens("own", query="harbour baker", inference_id=endpoint)
    assert ids(here.search("filled", query))[0] == "2"
    found = here.search("filled", tokens("own", query=QUERY, inference_id=endpoint))
    assert scores(found) == expected(QUERY, {key: [one["body"]] for key, one in texts.items()})
    here.client("DELETE", pipeline)


def test_no_vectors_are_searched_for_in_such_a_field(here):
    reason = "Field [body] does not use a [text_embedding] model"
    build = {"text_embedding": {"model_text": QUERY}}
    for own in ({"query_vector": vector(QUERY)}, {"query_vector_builder": build}):
        knn = {"field": "body", "k": 5, "num_candidates": 10, **own}
        status, document = here.ask("a", {"knn": knn})
        assert (status, shard_error(document)) == (400, reason)
        both = here.search("a,dense", {"knn": knn})
        assert shard_error(both) == reason
        assert set(scores(both)) == {"d", "e"}
        for body in ({"knn": knn}, {"retriever": {"knn": knn}}):
            status, document = here.ask("a,dense", **body)
            assert (status, document["error"]["reason"]) == (400, reason)


def test_before_its_first_document_such_a_field_only_finds_nothing(here):
    for own in (
        {"query_vector": vector(QUERY)},
        {"query_vector_builder": {"text_embedding": {"model_text": QUERY}}},
    ):
        knn = {"field": "body", "k": 5, "num_candidates": 10, **own}
        for body in ({"query": {"knn": knn}}, {"knn": knn}, {"retriever": {"knn": knn}}):
            assert ids(here.search("none", **body)) == []
            assert set(ids(here.search("none,dense", **body))) == {"d", "e"}


def test_no_tokens_are_searched_for_in_fields_of_vectors(here):
    reason = "Field [body] does not use a [sparse_embedding] model"
    here.search("dense", semantic(QUERY))
    for query in (tokens(query=QUERY), tokens(query_vector={"ships": 1.0})):
        status, document = here.ask("dense", query)
        assert (status, shard_error(document)) == (400, reason)
        both = here.search("a,dense", query)
        assert shard_error(both) == reason
        assert set(ids(both)) <= set(TEXTS)
        assert len(ids(both)) > 1


def test_an_endpoint_of_another_task_is_no_model_for_it(here):
    status, document = here.ask("a", tokens(query=QUERY, inference_id=here.name("dense")))
    assert status == 400
    assert document["error"]["reason"] == (
        "expected a result of type [text_expansion_result] received [text_embedding_result]. "
        f"Is [{here.name('dense')}] a compatible model?"
    )
    here.index(
        "crossed",
        {"1": {"body": QUERY}},
        body=sparse(here.name("e"), search_inference_id=here.name("dense")),
    )
    status, document = here.ask("crossed", semantic(QUERY))
    assert status == 400
    assert shard_error(document).startswith(
        "Field [body] expected query inference results to be of type [text_expansion_result], got "
        f"[text_embedding_result]. Is the search inference endpoint [{here.name('dense')}] "
    )


@pytest.mark.parametrize(
    "own",
    [{}, {"query": QUERY, "query_vector": {"a": 1.0}}, {"inference_id": "e", "query_vector": {}}],
)
def test_what_elasticsearch_does_not_take_either(here, own):
    status, document = here.ask("a", tokens(**own))
    assert status == 400
    assert "[sparse_vector] requires one of [query_vector] or [inference_id]" in str(document)
    status, document = here.ask("a", tokens(query=QUERY, colour="red"))
    assert (status, "unknown field [colour]" in str(document)) == (400, True)


# --- highlights, chunks, retrievers


BODY: Final = ["amber quartz", "harbour pilot ships 🚢 at sea", "harbour baker", "gold"]


def test_the_nearest_chunks_are_highlighted(here):
    here.index(
        "shown", {"1": {"body": BODY}, "2": {"body": "harbour"}}, body=sparse(here.name("e"))
    )
    options = {"order": "score", "number_of_fragments": 2}
    asked = {
        "highlight": {"fields": {"body": options}},
        "fields": [{"field": "body", "format": "chunks"}],
    }
    for query in (
        semantic("baker harbour"),
        tokens(query="baker harbour"),
        tokens(query_vector=weights("baker harbour")),
    ):
        hit = here.search("shown", query, **asked)["hits"]["hits"][0]
        assert hit["highlight"]["body"] == [BODY[2], BODY[1]]
        assert hit["fields"]["body"] == BODY
    in_text = {"fields": {"body": {"number_of_fragments": 2}}}
    hit = here.search("shown", semantic("baker harbour"), highlight=in_text)["hits"]["hits"][0]
    assert hit["highlight"]["body"] == [BODY[1], BODY[2]]


def test_further_pages_of_a_scroll_are_highlighted(here):
    here.index(
        "pages", {"1": {"body": BODY}, "2": {"body": BODY[1:3]}}, body=sparse(here.name("e"))
    )
    body = {
        "query": semantic("baker"),
        "size": 1,
        "highlight": {"fields": {"body": {"number_of_fragments": 1}}},
    }
    _, page = here.post(f"/{here.name('pages')}/_search?scroll=1m", body)
    _, last = here.post("/_search/scroll", {"scroll": "1m", "scroll_id": page["_scroll_id"]})
    for one in (page, last):
        assert one["hits"]["hits"][0]["highlight"]["body"] == [BODY[2]]


def test_retrievers_that_name_fields_and_a_text(here):
    for kind in ("rrf", "linear"):
        more = {"normalizer": "minmax"} if kind == "linear" else {}
        retriever = {kind: {"fields": ["team", "body"], "query": QUERY, **more}}
        answer = here.search("a", retriever=retriever)
        assert ids(answer)[0] == "1"
        assert set(ids(answer)) == {"1", "2", "4"}


def test_the_weight_of_a_leaf(here):
    leaf = {"retriever": {"standard": {"query": semantic(QUERY)}}, "weight": 2}
    answer = here.search("a", retriever={"linear": {"retrievers": [leaf]}})
    doubled = {token: 2 * weight for token, weight in weights(QUERY).items()}
    assert scores(answer) == expected(doubled)


def test_a_field_with_tokens_is_not_empty(here):
    caps = here.client("GET", f"/{here.name('a')}/_field_caps?fields=*&include_empty_fields=false")
    assert set(caps.document["fields"]["body"]) == {"text"}
    assert "xinf" not in caps.text
    empty = here.client(
        "GET", f"/{here.name('none')}/_field_caps?fields=b*&include_empty_fields=false"
    )
    assert empty.document["fields"] == {}
