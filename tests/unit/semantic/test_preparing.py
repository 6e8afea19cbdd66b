"""What searches need, found out for all of a request together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from proxy.ground.errors import (
    IllegalArgument,
    ProxyError,
    Unauthenticated,
    Unauthorized,
    UpstreamUnavailable,
)
from proxy.semantic.preparing import Prepared, Search, prepared, prepared_one, remote_of, target_of
from tests.unit.semantic.exchanges import Answer, World, world
from tests.unit.semantic.targets import semantic_field, target
from tests.unit.semantic.test_pits import REAL

HERE: Final = target(semantic_field())


def search(text: str = "one", **more: Any) -> Search:
    made: dict[str, Any] = {"expression": "a", **more}
    return Search(body={"query": {"semantic": {"field": "body", "query": text}}}, **made)


async def run(here: World, *searches: Search) -> list[Prepared | ProxyError]:
    exchange, _ = here.exchange("POST", "/a/_search")
    return await prepared(exchange, searches)


def vector(made: Prepared | ProxyError) -> Any:
    assert isinstance(made, Prepared)
    return made.body["query"]["nested"]["query"]["knn"]["query_vector"]


async def test_texts_are_embedded_in_one_call():
    here = world(HERE)
    made = await run(here, search("one"), search("two"), search("one"))
    assert here.endpoints.calls == [["one", "two"]]
    assert [list(vector(one)) for one in made] == [[1.0, 0.0, 0.0]] * 3


async def test_what_fields_there_are_is_not_guessed_if_the_upstream_does_not_tell():
    here = world(replace(HERE, others=True))

    async def ask_as_proxy(method: str, target: str, body: bytes = b"") -> Answer:
        assert "/_mapping/field/" in target
        return Answer({}, status)

    here.upstream.ask_as_proxy = ask_as_proxy  # type: ignore[method-assign]
    status = 404
    assert isinstance((await run(here, search()))[0], Prepared)
    status = 503
    with pytest.raises(UpstreamUnavailable):
        await run(here, search())


async def test_an_error_is_that_of_its_search():
    wrong = Search(body={"query": {"semantic": {"field": "body"}}}, expression="a")
    made = await run(world(HERE), search(), wrong, search())
    assert [isinstance(one, Prepared) for one in made] == [True, False, True]


async def test_a_search_without_texts_asks_nobody():
    here = world(HERE)
    here.guard.denial = Unauthorized("you may not")
    plain = Search(body={"query": {"term": {"a": 1}}}, expression="a")
    (made,) = await run(here, plain)
    assert isinstance(made, Prepared)
    assert made.body == plain.body
    assert here.endpoints.calls == []


async def test_nothing_is_embedded_for_who_may_not_search():
    here = world(HERE)
    here.guard.denial = Unauthorized("you may not")
    assert await run(here, search()) == [here.guard.denial]
    assert here.endpoints.calls == []


@pytest.mark.parametrize(
    "error", [Unauthenticated.__new__(Unauthenticated), UpstreamUnavailable("away")]
)
async def test_what_concerns_all_searches_ends_them_all(error: Any):
    here = world(HERE)
    here.guard.denial = error
    with pytest.raises(type(error)):
        await run(here, search())


async def test_one_search_raises_its_error():
    exchange, _ = world(HERE).exchange("POST", "/a/_search")
    with pytest.raises(IllegalArgument, match=r"not possible in remote clusters.*\[far:b\]"):
        await prepared_one(exchange, search(expression="a,far:b"))


async def test_a_search_of_too_many_levels():
    query: Any = {"match_all": {}}
    for _ in range(3000):
        query = {"constant_score": {"filter": query}}
    (made,) = await run(world(HERE), Search(body={"query": query}, expression="a"))
    assert isinstance(made, IllegalArgument)


@pytest.mark.parametrize(
    ("expression", "remote"),
    [(None, None), ("a,b*", None), ("a,far:b,c:d", "far:b"), ("<a-{now/d{HH:mm}}>", None)],
)
def test_indices_of_other_clusters(expression: str | None, remote: str | None):
    assert remote_of(expression) == remote


@pytest.mark.parametrize(
    ("expression", "body", "looked_up"),
    [
        ("a", {}, ["a"]),
        (None, {}, ["_all"]),
        ("x", {"pit": {"id": REAL}}, ["q-a,q-b"]),
        ("x", {"pit": {"id": "rubbish"}}, ["_all"]),
        ("x", {"pit": "rubbish"}, ["x"]),
    ],
)
async def test_what_a_search_goes_to(expression: Any, body: Any, looked_up: list[str]):
    here = world(HERE)
    exchange, _ = here.exchange("POST", "/_search")
    found = await target_of(exchange, Search(body=body, expression=expression))
    assert here.registry.looked_up == looked_up
    assert found.exists is bool(looked_up)
