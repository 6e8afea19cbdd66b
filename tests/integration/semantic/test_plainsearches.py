"""Searches of an index without semantic fields that the upstream alone cannot answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any, Final

import pytest

from testbed.elasticsearch import Elasticsearch
from tests.integration.semantic.meaningful import Place, place
from tests.support.processes import Serve

PREFIX: Final = "t-plainsearches"
SEA: Final = {"match": {"t": "sea"}}
SEMANTIC: Final = {"semantic": {"field": "t", "query": "x"}}
SEARCHES: Final[dict[str, dict[str, Any]]] = {
    "semantic": {"query": SEMANTIC},
    "semantic filter": {"query": SEA, "post_filter": SEMANTIC},
    "semantic aggregation": {"size": 0, "aggs": {"a": {"filter": SEMANTIC}}},
    "semantic highlighter": {"query": SEA, "highlight": {"fields": {"t": {"type": "semantic"}}}},
    "rrf": {"retriever": {"rrf": {"retrievers": [{"standard": {"query": SEA}}] * 2}}},
    "linear": {
        "retriever": {"linear": {"retrievers": [{"retriever": {"standard": {"query": SEA}}}]}}
    },
    "rank": {"sub_searches": [{"query": SEA}, {"query": {"match_all": {}}}], "rank": {"rrf": {}}},
    "reranker": {
        "retriever": {
            "text_similarity_reranker": {
                "retriever": {"standard": {"query": SEA}},
                "field": "t",
                "inference_id": f"{PREFIX}-no",
                "inference_text": "sea",
            }
        }
    },
    "builder": {
        "knn": {
            "field": "v",
            "k": 3,
            "query_vector_builder": {
                "text_embedding": {"model_id": f"{PREFIX}-no", "model_text": "x"}
            },
        }
    },
    "tokens": {"query": {"sparse_vector": {"field": "w", "inference_id": "no", "query": "x"}}},
    "words": {"query": SEA},
    "mistake": {"query": {"semantix": {}}},
}
ANSWERED: Final = ("semantic highlighter", "rrf", "linear", "rank", "words")


@pytest.fixture(scope="module")
def here(serve_for_session: Serve, elasticsearch: Elasticsearch) -> Iterator[Place]:
    with place(serve_for_session, elasticsearch, PREFIX) as found:
        # Of several shards, so that some find nothing.
        found.client(
            "PUT",
            f"/{found.name('a')}",
            {
                "settings": {"number_of_shards": 4},
                "mappings": {
                    "properties": {
                        "t": {"type": "text"},
                        "v": {"type": "dense_vector", "dims": 2, "similarity": "cosine"},
                    }
                },
            },
        )
        for number in range(9):
            target = f"/{found.name('a')}/_doc/{number}?refresh=true"
            found.client("PUT", target, {"t": "sea " * (number % 3), "v": [1, number]})
        yield found


def answers(here: Place, index: str, *searches: str) -> list[tuple[int, str]]:
    """Statuses and bodies of the answers to some searches, sent over one new connection."""
    found = []
    with closing(HTTPConnection(here.client.url.removeprefix("http://"))) as connection:
        for name in searches:
            body = json.dumps(SEARCHES[name])
            headers = {"Content-Type": "application/json"}
            connection.request("POST", f"/{here.name(index)}/_search", body, headers)
            answer = connection.getresponse()
            found.append((answer.status, re.sub(r'"took":\d+,', "", answer.read().decode())))
    return found


@pytest.mark.parametrize("short", ["a", "no", "a*"])
@pytest.mark.parametrize("name", SEARCHES)
def test_it_is_the_same_whether_the_upstream_is_asked_first(here, short, name):
    answer = answers(here, short, name)[0]
    # After the first of these, searches on the connection are looked into before they are sent.
    assert answer == answers(here, short, "rrf", name)[1]
    status, body = answer
    assert (status == 200) is (name in ANSWERED and short != "no")
    assert status != 200 or json.loads(body)["_shards"]["failed"] == 0
