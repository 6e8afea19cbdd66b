"""Hits whose sources are to be written again."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.ground.errors import UpstreamBroken
from proxy.semantic.hits import hits_with_sources, total_of


def test_sources_stand_where_the_answer_says():
    hits: list[dict[str, Any]] = [
        {"_id": "1", "_source": 1, "_routing": "r"},
        {"_id": 2, "_source": 0},
        {"_id": "3"},
    ]
    found = hits_with_sources({"hits": {"hits": hits}}, [b'{"a":0}', b'{"a":1}'])
    assert [(one.id, one.routing, one.source) for one in found] == [
        ("1", "r", b'{"a":1}'),
        ("2", None, b'{"a":0}'),
        ("3", None, b"{}"),
    ]
    assert found[0].about == {"_id": "1", "_routing": "r"}


def test_the_total_is_nothing_where_it_is_not_counted():
    assert total_of({"hits": {"total": {"value": 7}}}) == 7
    assert total_of({"hits": {}}) == 0
    assert total_of({"hits": {"total": None}}) == 0


@pytest.mark.parametrize(
    "answer", [{}, {"hits": None}, {"hits": "x"}, {"hits": {}}, {"hits": {"hits": [None]}}]
)
def test_an_answer_without_hits_is_not_one_of_none(answer: dict[str, Any]):
    with pytest.raises(UpstreamBroken):
        hits_with_sources(answer, [])
    assert hits_with_sources({"hits": {"hits": []}}, []) == []
