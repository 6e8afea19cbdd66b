"""Answers of the upstream's, as callers see them."""

from __future__ import annotations

import pytest

from proxy.semantic.answers import has_failures, presentable, rewording

WORDS = rewording({"body": {}}, {"body": "lumps"})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "Cannot search on field [body] since it is not indexed.",
            "Field [body] of type [semantic_text] does not support match queries",
        ),
        (
            "Cannot search on field [other] since it is not indexed.",
            "Cannot search on field [other] since it is not indexed.",
        ),
        (
            "Fielddata is disabled on [body] in [a]. Text fields are not optimised. So.",
            "[semantic_text] fields do not support sorting, scripting or aggregating",
        ),
        (
            "error fetching [body]: Field [body] of type [text] doesn't support formats.",
            "error fetching [body]: Unknown format [lumps] for field [body], only [chunks] is "
            "supported.",
        ),
    ],
)
def test_texts_speak_of_what_users_declared(text, shown):
    assert WORDS(text) == shown


def test_hits_show_nothing_of_ours():
    hit = {
        "_index": "a",
        "_id": "1",
        "_source": {"body": "xinf.body", "xinf": {}, "sub": {"xinf": 1}},
        "fields": {"xinf.body.chunks": [], "n": [1]},
        "inner_hits": {
            "x": {
                "hits": {"hits": [{"_nested": {"field": "xinf.a:b.chunks", "offset": 0}}]},
            }
        },
    }
    document = {"hits": {"hits": [hit]}, "aggregations": {"top": {"hits": {"hits": [hit]}}}}
    shown = presentable(document, WORDS)["hits"]["hits"][0]
    assert shown["_source"] == {"body": "xinf.body", "sub": {"xinf": 1}}
    assert shown["fields"] == {"n": [1]}
    inner = shown["inner_hits"]["x"]["hits"]["hits"][0]
    assert inner["_nested"]["field"] == "a.b.inference.chunks"
    assert presentable(document, WORDS)["aggregations"]["top"]["hits"]["hits"] == [shown]
    later = presentable({"id": "x", "response": document}, WORDS)
    assert later["response"]["hits"]["hits"] == [shown]


@pytest.mark.parametrize(
    ("answer", "has"),
    [
        (b'{"took":1,"_shards":{"total":1,"failed":0},"hits":{"x":"\\"failures\\""}}', False),
        (b'{"_shards":{"total":2,"failed":1,"failures":[]}}', True),
        (b'{"_shards":{"total":20,"failed":10}}', True),
        (b'{"hits":{"hits":[]}}', False),
        (b'{"pit_id":"%b","_shards":{"failed":1,"failures":[]}}' % (b"x" * 2000), True),
    ],
)
def test_the_beginning_tells_whether_shards_have_failed(answer: bytes, has: bool):
    assert has_failures(answer) is has
