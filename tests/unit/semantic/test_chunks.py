"""Which chunks of hits are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest

from proxy.ground.errors import ProxyError
from proxy.ground.largeanswers import AnswerTooLarge
from proxy.semantic.chunks import VectorSources, show
from proxy.semantic.highlights import Highlight, Shown, Sought
from proxy.semantic.ports import UpstreamAnswer
from tests.unit.semantic.clusters import answered
from tests.unit.semantic.targets import semantic_field

BY_INDEX: Final = {"a": semantic_field()}
NEAR: Final = Sought(vector=[1.0, 0.0, 0.0], chunks="xinf.body.chunks.embeddings")
ALL: Final = Sought(vector=None)
CHUNKS: Final = [
    {"field": "body", "start": 0, "end": 3, "embeddings": [0.0, 1.0, 0.0]},
    {"field": "body", "start": 4, "end": 8, "embeddings": [1.0, 0.1, 0.0]},
    {"field": "body", "start": 9, "end": 12, "embeddings": [1.0, 0.0, 0.0]},
]
STORED: Final = {
    "_index": "a",
    "_id": "1",
    "_source": {"body": ["far", "near", "top"], "xinf": {"body": {"chunks": CHUNKS}}},
}


def highlight(*sought: Sought, number: int = 5, by_score: bool = False) -> Shown:
    one = Highlight(name="body", found=BY_INDEX, number=number, by_score=by_score, sought=sought)
    return Shown(highlights=[one])


class Asking:
    """Answers in turn, or raises what stands in the place of an answer."""

    def __init__(self, *answers: UpstreamAnswer | ProxyError) -> None:
        self.answers = list(answers)
        self.asked: list[Mapping[str, Any]] = []

    async def __call__(self, question: Mapping[str, Any]) -> UpstreamAnswer:
        self.asked.append(question)
        answer = self.answers.pop(0)
        if isinstance(answer, ProxyError):
            raise answer
        return answer


FOUND: Final = answered(200, {"hits": {"hits": [STORED]}})


async def shown(what: Shown, *answers: UpstreamAnswer, **hit: Any) -> dict[str, Any]:
    made = {"_index": "a", "_id": "1", **hit}
    await show(what, [made], Asking(*(answers or (FOUND,))), VectorSources())
    return made


async def test_the_best_chunks_stand_in_the_order_of_the_text():
    found = await shown(highlight(NEAR, number=2))
    assert found["highlight"] == {"body": ["near", "top"]}


async def test_or_in_that_of_their_scores():
    found = await shown(highlight(NEAR, number=2, by_score=True))
    assert found["highlight"] == {"body": ["top", "near"]}


async def test_where_every_document_is_found_the_first_chunks_are_shown():
    assert (await shown(highlight(ALL, number=1)))["highlight"] == {"body": ["far"]}


async def test_what_was_not_searched_for_is_not_highlighted():
    elsewhere = Sought(vector=[1.0], chunks="xinf.title.chunks.embeddings")
    words = {"body": ["<em>far</em>"], "title": ["x"]}
    found = await shown(highlight(elsewhere), highlight=words)
    assert found["highlight"] == {"title": ["x"]}


async def test_all_chunks_are_a_fields_values():
    found = await shown(Shown(chunks={"body": BY_INDEX}))
    assert found["fields"] == {"body": ["far", "near", "top"]}


async def test_texts_are_shown_of_what_no_document_could_bring():
    source = {"body": [["far"], ["near", None]], "xinf": {"body": {"chunks": CHUNKS[:2]}}}
    answer = answered(200, {"hits": {"hits": [{**STORED, "_source": source}]}})
    found = await shown(Shown(chunks={"body": BY_INDEX}), answer)
    assert found["fields"] == {"body": ["far", "near"]}


async def test_only_hits_of_semantic_fields_are_asked_for():
    asking = Asking(FOUND)
    hits: list[dict[str, Any]] = [
        {"_index": "a", "_id": "1", "_routing": "r"},
        {"_index": "other", "_id": "2"},
        {"_index": "a", "_id": "3", "_nested": {}},
    ]
    await show(highlight(NEAR), hits, asking, VectorSources())
    (question,) = asking.asked
    assert question["size"] == 1
    assert "highlight" not in hits[0]  # it is another document, by its routing
    asking = Asking()
    await show(highlight(NEAR), hits[1:], asking, VectorSources())


async def test_highlights_of_patterns_leave_semantic_fields_out():
    unnamed = Shown(unnamed={"body": BY_INDEX})
    assert "highlight" not in await shown(unnamed, highlight={"body": ["x"]})
    found = await shown(unnamed, highlight={"body": ["x"], "title": ["y"]})
    assert found["highlight"] == {"title": ["y"]}


async def test_how_vectors_are_asked_for_is_remembered():
    sources = VectorSources()
    asking = Asking(answered(400, {}), FOUND)
    await show(highlight(NEAR), [{"_index": "a", "_id": "1"}], asking, sources)
    assert [one["_source"].get("exclude_vectors") for one in asking.asked] == [False, None]
    assert not sources.on_request


async def test_a_caller_who_may_not_read_is_shown_nothing():
    assert "highlight" not in await shown(highlight(NEAR), answered(403, {}))


async def test_vectors_of_another_length_do_not_count():
    short = Sought(vector=[1.0], chunks="xinf.body.chunks.embeddings")
    assert (await shown(highlight(short, number=1)))["highlight"] == {"body": ["far"]}


async def test_vectors_that_are_too_many_at_once_are_read_in_steps():
    hits: list[dict[str, Any]] = [{"_index": "a", "_id": str(n)} for n in range(3)]
    found = [answered(200, {"hits": {"hits": [{**STORED, "_id": str(n)}]}}) for n in range(3)]
    too_large = AnswerTooLarge(1)
    asking = Asking(too_large, found[0], too_large, *found[1:])
    await show(highlight(NEAR, number=1), hits, asking, VectorSources())
    assert [hit["highlight"] for hit in hits] == [{"body": ["top"]}] * 3
    assert [one["size"] for one in asking.asked] == [3, 1, 2, 1, 1]


async def test_a_document_that_is_too_large_by_itself_is_refused():
    hits: list[dict[str, Any]] = [{"_index": "a", "_id": "1"}]
    with pytest.raises(AnswerTooLarge):
        await show(highlight(NEAR), hits, Asking(AnswerTooLarge(1)), VectorSources())
