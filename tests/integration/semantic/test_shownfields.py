"""Values of fields that searches ask for by patterns: of the user's fields, and never of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.integration.semantic.meaningful import Place, field, place
from tests.support.processes import Serve
from tests.support.searching import Client

PREFIX: Final = "t-shownfields"
DOCUMENT: Final = {
    "body": "a text",
    "xa": "x",
    "xdate": "2024-02-03",
    "start": 1,
    "embeddings": "e",
    "kept": "k",
}
FIELDS: Final[dict[str, Any]] = {
    "xa": {"type": "keyword"},
    "xdate": {"type": "date"},
    "start": {"type": "integer"},
    "embeddings": {"type": "keyword"},
    "kept": {"type": "keyword", "store": True},
}


@pytest.fixture(scope="module")
def here(serve_for_session: Serve, elasticsearch) -> Iterator[tuple[Place, Client]]:
    """A proxy with an index `a`, and the Elasticsearch behind it with the same without `body`."""
    with place(serve_for_session, elasticsearch, PREFIX) as found:
        found.index("a", {"1": DOCUMENT}, body=field(found.endpoint("e")), **FIELDS)
        direct = Client(elasticsearch.url)
        plain = {"properties": {**FIELDS, "body": {"type": "text"}}}
        direct("PUT", f"/{PREFIX}-plain", {"mappings": plain})
        direct("PUT", f"/{PREFIX}-plain/_doc/1?refresh=true", DOCUMENT)
        yield found, direct


def hits(answer: Any) -> Any:
    found = [hit.get("fields") for hit in answer["hits"]["hits"]]
    return found, answer.get("aggregations")


PATTERNS: Final = [
    {"docvalue_fields": ["x*"]},
    {"docvalue_fields": ["*start", "*embeddings"]},
    {"docvalue_fields": [{"field": "x*a*", "format": "yyyy"}]},
    {"docvalue_fields": ["xa", "nowhere*"]},
    {"docvalue_fields": ["xinf*"]},
    {"docvalue_fields": ["*"]},
    {"fields": ["*"]},
    {"fields": ["x*", "*start"]},
    {"fields": [{"field": "xd*", "format": "yyyy"}]},
    {"fields": [{"field": "x*", "include_unmapped": True}]},
    {"stored_fields": ["*"]},
    {"stored_fields": ["x*", "*t"]},
]


def shown(client: Client, index: str, body: Any, target: str = "") -> tuple[int, Any]:
    answer = client("POST", f"/{PREFIX}-{index}/_search{target}", {"_source": False, **body})
    assert "xinf" not in answer.text
    return answer.status, hits(answer.document) if answer.status == 200 else None


@pytest.mark.parametrize("asked", PATTERNS, ids=json.dumps)
def test_a_pattern_stands_for_the_users_fields(here, asked):
    found, direct = here
    expected = shown(direct, "plain", asked)
    assert shown(found.client, "a", asked) == expected
    top = {"aggs": {"t": {"top_hits": asked}}}
    if "stored_fields" not in asked:
        status, answer = shown(found.client, "a", top)
        assert status == expected[0]
        if status == 200:
            (hit,) = answer[1]["t"]["hits"]["hits"]
            assert [hit.get("fields")] == expected[1][0]


@pytest.mark.parametrize("names", ["x*", "xa,*start", "*"])
def test_in_the_url(here, names):
    found, direct = here
    target = f"?docvalue_fields={names}"
    assert shown(found.client, "a", {}, target) == shown(direct, "plain", {}, target)


def test_in_hits_within_hits(here):
    found, _ = here
    inner = {"name": "i", "docvalue_fields": ["x*"], "_source": False}
    body = {"collapse": {"field": "xa", "inner_hits": inner}, "docvalue_fields": ["*start"]}
    (hit,) = found.search("a", {"match_all": {}}, **body)["hits"]["hits"]
    assert hit["fields"] == {"start": [1], "xa": ["x"]}
    (within,) = hit["inner_hits"]["i"]["hits"]["hits"]
    assert within["fields"] == {"xa": ["x"], "xdate": ["2024-02-03T00:00:00.000Z"]}


def test_what_is_refused_speaks_of_no_field_of_ours(here):
    found, _ = here
    for asked in ({"docvalue_fields": ["*"]}, {"docvalue_fields": ["body"]}):
        status, answer = found.ask("a", {"match_all": {}}, **asked)
        assert status == 400
        assert answer["error"]["type"] == "search_phase_execution_exception"
        assert "keyword" not in json.dumps(answer)
