"""Which searches have retrievers to evaluate here."""

from __future__ import annotations

from typing import Any, Final

import pytest

from proxy.ground.errors import ProxyError
from proxy.semantic.preparing import Prepared, Search
from proxy.semantic.retrievers.entry import evaluated
from tests.unit.semantic.exchanges import Answer, world
from tests.unit.semantic.targets import semantic_field, target

HERE: Final = target(semantic_field())
NOWHERE: Final = target()
MEANING: Final = {"standard": {"query": {"semantic": {"field": "body", "query": "one"}}}}
WORDS: Final = {"standard": {"query": {"term": {"a": 1}}}}
RRF: Final = {"rrf": {"retrievers": [WORDS, MEANING]}}
FOUND: Final = {"hits": {"hits": [{"_index": "a", "_id": "1", "_score": 2.0}]}, "status": 200}
NO_PIT: Final = Answer({}, 400)


async def run(here: Any, body: Any, query: str = "") -> tuple[Any, Any]:
    exchange, _ = here.exchange("POST", f"/a/_search{query}", body)
    exchange, (made,) = await evaluated(exchange, [Search(body=body, expression="a")])
    return exchange, made


async def test_a_search_without_retrievers_is_prepared_as_it_is():
    _, made = await run(world(HERE), {"query": {"term": {"a": 1}}})
    assert isinstance(made, Prepared)
    assert made.body == {"query": {"term": {"a": 1}}}


async def test_a_tree_becomes_the_documents_that_it_finds():
    here = world(HERE, NO_PIT, {"responses": [FOUND, FOUND]})
    exchange, made = await run(here, {"retriever": RRF}, "?size=3&routing=x")
    assert isinstance(made, Prepared)
    assert "retriever" not in made.body
    assert made.body["size"] == 1
    assert "constant_score" in str(made.body["query"])
    assert exchange.rest.parameters == {"routing": "x"}  # the body says the rest by now
    assert here.endpoints.calls == [["one"]]  # and never twice


async def test_what_the_upstream_can_do_itself_is_left_to_it():
    here = world(NOWHERE)
    _, made = await run(here, {"retriever": {"rrf": {"retrievers": [WORDS, WORDS]}}})
    assert isinstance(made, Prepared)
    assert made.body == {"retriever": {"rrf": {"retrievers": [WORDS, WORDS]}}}
    assert here.upstream.asked == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"retriever": {"rrf": {"retrievers": []}}}, "must provide [retrievers] or [query]"),
        ({"retriever": RRF, "query": {}}, "cannot specify [retriever] and [query]"),
        ({"retriever": {"rrf": {"retrievers": [WORDS], "rank_constant": 0}}}, "rank_constant"),
    ],
)
async def test_what_is_wrong_is_the_error_of_its_search(body: Any, reason: str):
    _, made = await run(world(HERE), body)
    assert isinstance(made, ProxyError)
    assert reason in str(made.envelope())


async def test_a_search_that_the_upstream_refuses_fails():
    failed = {"error": {"type": "parsing_exception", "reason": "no"}, "status": 400}
    _, made = await run(world(HERE, NO_PIT, {"responses": [failed, failed]}), {"retriever": RRF})
    assert isinstance(made, ProxyError)
    assert made.envelope()["error"]["reason"] == "no"
