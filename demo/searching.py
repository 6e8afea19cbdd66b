"""The steps about search: passages in a semantic field, found by words, by meaning, and by both."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from elasticsearch import helpers

from demo.corpus import Passage, Question
from demo.quality import DEPTH, Quality, quality, rank
from demo.show import INDENT, Screen, duration, shortened
from demo.tools import CheckFailed, Tour

RECALL: Final = 0.8  # of the questions must have a right passage among the first three
PARAGRAPHS: Final = 0.5  # of the questions must be answered by the paragraph that is highlighted
SHOWN: Final = 10  # questions in full; of the others only those that failed
WINDOW: Final = 20  # hits of each search that are put together, and read again by the reranker
WORDS: Final = "words"
MEANING: Final = "meaning"


def index_passages(tour: Tour) -> None:
    """With what Elastic's own helper sends: no vector is seen by the client."""
    meaning = {
        "type": "semantic_text",
        "inference_id": tour.inference_id("text_embedding"),
    }
    text = {"type": "text", "copy_to": "meaning"}
    properties = {"title": {"type": "text"}, "text": text, "meaning": meaning}
    tour.client.indices.create(index=tour.index, mappings={"properties": properties})
    tour.leftovers.append(lambda: tour.client.indices.delete(index=tour.index))
    began = time.monotonic()
    documents = ({"_id": one.id, "title": one.title, "text": one.text} for one in tour.corpus)
    done, _ = helpers.bulk(tour.client, documents, index=tour.index, refresh=True)
    seconds = time.monotonic() - began
    tour.screen.note(f"{done} passages in {duration(seconds)}: {done / seconds:.0f} a second")
    count = tour.client.count(index=tour.index)["count"]
    tour.check(count == len(tour.corpus), f"{count} documents indexed")
    found = tour.client.get(index=tour.index, id=tour.corpus[0].id)
    kept = {"title": tour.corpus[0].title, "text": tour.corpus[0].text}
    tour.check(found["_source"] == kept, "a document is shown as it was sent, without vectors")


def ask_questions(tour: Tour) -> None:
    """One request for all questions; their texts are embedded in one call of the model."""
    hits = _answers(tour, MEANING)
    right = [
        rank(_ids(found)[:3], question.answers) > 0
        for question, found in zip(tour.questions, hits, strict=True)
    ]
    tour.screen.line()
    for number, (question, found) in enumerate(zip(tour.questions, hits, strict=True)):
        if number == SHOWN:
            tour.screen.note(f"… {len(hits) - SHOWN} more, of which these were missed:")
        if number < SHOWN or not right[number]:
            _show_answer(tour.screen, question, found[:3], right[number])
    count, total = sum(right), len(right)
    tour.screen.line()
    tour.check(
        count >= RECALL * total,
        f"a right passage among the first three for {count} of {total} ({count / total:.0%})",
    )


def compare_ways(tour: Tour) -> None:
    """The same questions by words, by meaning, by both, and with a reranker on top."""
    measured: dict[str, Quality] = {}
    right = [question.answers for question in tour.questions]
    rows = [["", *Quality(recall_3=0, recall_10=0, mrr=0).figures(), "40 searches"]]
    for way in _WAYS:
        began = time.monotonic()
        hits = _answers(tour, way)
        seconds = time.monotonic() - began
        measured[way] = quality([_ids(found) for found in hits], right)
        figures = measured[way].figures().values()
        rows.append([way, *(f"{figure:.2f}" for figure in figures), f"{duration(seconds):>7}"])
    tour.screen.line()
    tour.screen.table(rows)
    tour.screen.note("(The questions share hardly a word with their answers, on purpose.)")
    tour.quality = measured
    best = max(measured, key=lambda way: measured[way].mrr)
    tour.check(best != WORDS, f"best: {best}")


def find_paragraphs(tour: Tour) -> None:
    """Long documents are cut into chunks; a highlight is the chunk that answers best."""
    index = f"{tour.prefix}articles"
    model = tour.inference_id("text_embedding")
    chunking = {"strategy": "sentence", "max_chunk_size": 60, "sentence_overlap": 0}
    text = {"type": "semantic_text", "inference_id": model, "chunking_settings": chunking}
    tour.client.indices.create(index=index, mappings={"properties": {"text": text}})
    tour.leftovers.append(lambda: tour.client.indices.delete(index=index))
    articles = dict(_articles(tour.corpus))
    documents = ({"_id": topic, "text": text} for topic, text in articles.items())
    done, _ = helpers.bulk(tour.client, documents, index=index, refresh=True)
    words = sum(len(text.split()) for text in articles.values()) // done
    tour.screen.note(f"{done} articles of {words} words on average, an article for each topic")
    shown = _paragraphs(tour, index)
    right = [
        any(fragment[:40] in one.text for one in tour.corpus if one.id in question.answers)
        for question, (_, fragment) in zip(tour.questions, shown, strict=True)
    ]
    example = right.index(True) if any(right) else 0
    topic, fragment = shown[example]
    tour.screen.note(f"{tour.questions[example].question}  →  in the article on {topic}:")
    tour.screen.note(f"“{shortened(fragment, 300)}”")
    count, total = sum(right), len(right)
    tour.check(
        count >= PARAGRAPHS * total,
        f"the very paragraph, out of {words} words, for {count} of {total}",
    )


def _paragraphs(tour: Tour, index: str) -> list[tuple[str, str]]:
    """The id of the best article for each question, and its best paragraph."""
    searches: list[Mapping[str, Any]] = []
    for question in tour.questions:
        query = {"semantic": {"field": "text", "query": question.question}}
        highlight = {"fields": {"text": {"number_of_fragments": 1, "order": "score"}}}
        searches += [{}, {"query": query, "highlight": highlight, "_source": False, "size": 1}]
    answer = tour.client.msearch(index=index, searches=searches)
    hits = [one["hits"]["hits"][0] for one in answer["responses"]]
    return [(hit["_id"], hit["highlight"]["text"][0].strip()) for hit in hits]


def _articles(corpus: Sequence[Passage]) -> Iterator[tuple[str, str]]:
    """A text for each topic, of all its passages."""
    by_topic = sorted(corpus, key=lambda passage: passage.topic)
    for topic, passages in groupby(by_topic, key=lambda passage: passage.topic):
        yield topic, "\n\n".join(passage.text for passage in passages)


# --- ways to search


def _by_words(tour: Tour, question: str) -> dict[str, Any]:
    return {"query": {"multi_match": {"query": question, "fields": ["title", "text"]}}}


def _by_meaning(tour: Tour, question: str) -> dict[str, Any]:
    return {"query": {"semantic": {"field": "meaning", "query": question}}}


def _by_both(tour: Tour, question: str) -> dict[str, Any]:
    both = [{"standard": search(tour, question)} for search in (_by_words, _by_meaning)]
    return {"retriever": {"rrf": {"retrievers": both, "rank_window_size": WINDOW}}}


def _reranked(tour: Tour, question: str) -> dict[str, Any]:
    reranker = {
        **_by_both(tour, question),
        "field": "text",
        "inference_id": tour.inference_id("rerank"),
        "inference_text": question,
        "rank_window_size": WINDOW,
    }
    return {"retriever": {"text_similarity_reranker": reranker}}


_WAYS: Final = {
    WORDS: _by_words,
    MEANING: _by_meaning,
    "both, by rrf": _by_both,
    "both, reranked": _reranked,
}


def _answers(tour: Tour, way: str) -> list[list[dict[str, Any]]]:
    """The hits for each question, in one request. Raises: CheckFailed."""
    searches: list[Mapping[str, Any]] = []
    for question in tour.questions:
        search = _WAYS[way](tour, question.question)
        searches += [{}, {**search, "_source": ["title"], "size": DEPTH}]
    answer = tour.client.msearch(index=tour.index, searches=searches)
    for one in answer["responses"]:
        if "error" in one:
            raise CheckFailed(f"a search by {way} failed: {one['error']}")
    return [one["hits"]["hits"] for one in answer["responses"]]


def _ids(hits: Sequence[Mapping[str, Any]]) -> list[str]:
    return [hit["_id"] for hit in hits]


def _show_answer(
    screen: Screen, question: Question, hits: Sequence[Mapping[str, Any]], right: bool
) -> None:
    (screen.passed if right else screen.missed)(question.question)
    shown = []
    for hit in hits:
        text = f"{hit['_score']:.2f} {shortened(hit['_source']['title'], 26)}"
        is_right = hit["_id"] in question.answers
        shown.append(screen.style(f"{text} ✓", "green") if is_right else screen.style(text, "dim"))
    screen.line(f"{INDENT}    {'   '.join(shown)}")


# --- the rerank task by itself


def rerank_passages(tour: Tour) -> None:
    """What a search by words has found, ranked anew by `_inference`."""
    question, hits = _poor_ranking(tour)
    ranks = {hit["_id"]: place for place, hit in enumerate(hits, 1)}
    texts = {passage.id: passage.text for passage in tour.corpus}
    names = list(ranks)
    answer = tour.client.inference.rerank(
        inference_id=tour.inference_id("rerank"),
        query=question.question,
        input=[texts[name] for name in names],
        top_n=3,
    )
    rows = answer["rerank"]
    tour.screen.table(
        [
            f"{row['relevance_score']:.3f}",
            f"by words {ranks[names[row['index']]]:>2}",
            _marked(tour.screen, question, names[row["index"]]),
            tour.screen.style(shortened(row["text"], 40), "dim"),
        ]
        for row in rows
    )
    scores = [row["relevance_score"] for row in rows]
    tour.check(len(rows) == 3, "three results, as top_n says")
    tour.check(scores == sorted(scores, reverse=True), "best first")
    texts_match = all(row["text"] == texts[names[row["index"]]] for row in rows)
    tour.check(texts_match, "each with its text, as the endpoint's return_documents says")
    best = names[rows[0]["index"]]
    tour.context = next(passage for passage in tour.corpus if passage.id == best)


def _poor_ranking(tour: Tour) -> tuple[Question, list[dict[str, Any]]]:
    """A question whose answer a search by words ranks low, and the ten passages found."""
    with tour.quietly():
        for question, hits in zip(tour.questions, _answers(tour, WORDS), strict=True):
            if rank(_ids(hits), question.answers) > 3:
                return question, hits
    raise CheckFailed("a search by words ranks no right passage fourth to tenth")


def _marked(screen: Screen, question: Question, name: str) -> str:
    return screen.style(f"{name} ✓", "green") if name in question.answers else name
