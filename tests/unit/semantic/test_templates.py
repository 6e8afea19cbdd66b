"""Searches that are templates, which the upstream fills in."""

from __future__ import annotations

from typing import Any, Final

import pytest

from proxy.semantic.templates import rendered
from tests.unit.semantic.exchanges import Answer, world
from tests.unit.semantic.targets import semantic_field, target

HERE: Final = target(semantic_field())
OUTPUT: Final = {"template_output": {"size": 3}}


async def of(template: Any, answer: Any = OUTPUT) -> Any:
    exchange, _ = world(HERE, answer).exchange("POST", "/a/_search/template")
    return await rendered(exchange, template)


async def test_the_upstream_gets_what_is_the_templates():
    here = world(HERE, OUTPUT)
    exchange, _ = here.exchange("POST", "/a/_search/template")
    made = await rendered(exchange, {"id": "t", "params": {"a": 1}, "explain": True, "profile": 0})
    assert made == {"size": 3, "explain": True}
    (asked,) = here.upstream.asked
    assert (asked.target, asked.json) == ("/_render/template", {"id": "t", "params": {"a": 1}})


@pytest.mark.parametrize(
    ("template", "answer"),
    [
        ({"id": "t", "simulate": True}, OUTPUT),
        ({"id": "t"}, Answer({}, 404)),
        ({"id": "t"}, {"template_output": "x"}),
        ({"id": "t"}, {}),
    ],
)
async def test_where_there_is_no_search(template: Any, answer: Any):
    assert await of(template, answer) is None


@pytest.mark.parametrize("body", [b"rubbish", b"[]", {"simulate": True}])
async def test_what_is_none_is_passed_on(body: Any):
    here = world(HERE)
    await here.request("POST", "/a/_search/template", body)
    assert len(here.upstream.handed) == 1
