"""The steps of the tour: each shows something, and checks what it shows."""

from __future__ import annotations

import base64
import http.client
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from elastic_transport import Transport, TransportApiResponse
from elasticsearch import Elasticsearch

from demo.corpus import Passage, Question, passages, questions
from demo.parts import Parts
from demo.show import INDENT, Screen, duration, shortened

API_KEY: Final = "hugging-face-access-token"  # the local provider takes any
ENDPOINTS: Final = {
    "text_embedding": "hugging-face-embeddings",
    "rerank": "hugging-face-rerank",
    "completion": "hugging-face-completion",
    "chat_completion": "hugging-face-chat-completion",
}
PATHS: Final = {
    "text_embedding": "/embed",
    "rerank": "/rerank",
    "completion": "/v1/chat/completions",
    "chat_completion": "/v1/chat/completions",
}
INDEX: Final = "passages"
DIMENSIONS: Final = 384
BATCH: Final = 64  # passages in a request: twice as many as the provider takes at once
RECALL: Final = 0.8  # of the questions must have a right passage among the first three
SHOWN: Final = 10  # questions in full; of the others only those that failed
TIMEOUT: Final = 120.0  # seconds for a request, enough for a small, busy machine
PROMPT: Final = "Write one sentence about the sea."


class CheckFailed(Exception):
    """A check failed; the text says which."""


class WatchedTransport(Transport):
    """The client's own transport, which also shows each request and its timing on `watcher`."""

    watcher: Screen | None = None

    def perform_request(
        self, method: str, target: str, *, body: Any = None, **others: Any
    ) -> TransportApiResponse:
        """The node's answer, errors included."""
        send = super().perform_request
        if self.watcher is None:
            return send(method, target, body=body, **others)
        began = time.monotonic()
        with self.watcher.working(f"{method} {target}"):
            answer = send(method, target, body=body, **others)
        seconds = time.monotonic() - began
        self.watcher.request(method, target, answer.meta.status, seconds, body)
        return answer


@dataclass(kw_only=True)
class Tour:
    """What the steps share."""

    screen: Screen
    parts: Parts
    client: Elasticsearch  # of the proxy
    prefix: str = ""  # of all names of endpoints and indices
    corpus: Sequence[Passage] = field(default_factory=passages)
    questions: Sequence[Question] = field(default_factory=questions)
    leftovers: list[Callable[[], object]] = field(default_factory=list)
    context: Passage | None = None  # what the chat is about

    @property
    def index(self) -> str:
        return f"{self.prefix}{INDEX}"

    def inference_id(self, task_type: str) -> str:
        return f"{self.prefix}{ENDPOINTS[task_type]}"

    def check(self, holds: bool, text: str) -> None:
        """Print `text` if it holds. Raises: CheckFailed otherwise."""
        if not holds:
            raise CheckFailed(f"not so: {text}")
        self.screen.passed(text)

    def watch(self, watcher: Screen | None) -> None:
        """Show the client's requests on `watcher` from now on; None: nowhere."""
        transport = self.client.transport
        assert isinstance(transport, WatchedTransport)
        transport.watcher = watcher

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """Do not show the requests of the block: they are many, or of no interest."""
        self.watch(None)
        try:
            yield
        finally:
            self.watch(self.screen)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector for each text."""
        answer = self.client.inference.text_embedding(
            inference_id=self.inference_id("text_embedding"), input=list(texts)
        )
        return [row["embedding"] for row in answer["text_embedding"]]


Step = Callable[[Tour], None]


# The steps


def see_cluster(tour: Tour) -> None:
    health = tour.client.cluster.health()
    tour.screen.note(f"cluster {health['cluster_name']}, nodes: {health['number_of_nodes']}")
    tour.check(health["status"] in ("green", "yellow"), f"status {health['status']}")
    if tour.parts.target.version is not None:
        with tour.parts.target.client() as direct:
            alone = direct.options(ignore_status=400).inference.get(inference_id="_all")
        reason = _reason_in(alone.body)
        tour.check("no handler found" in reason, f"asked directly, it says: {reason}")


def create_endpoints(tour: Tour) -> None:
    for task_type, path in PATHS.items():
        settings = {"api_key": API_KEY, "url": tour.parts.provider + path}
        body: dict[str, Any] = {"service": "hugging_face", "service_settings": settings}
        if task_type == "rerank":
            body["task_settings"] = {"return_documents": True, "top_n": 3}
        name = tour.inference_id(task_type)
        made = tour.client.inference.put(
            task_type=task_type, inference_id=name, inference_config=body
        )
        tour.leftovers.append(partial(_delete_endpoint, tour, task_type))
        if made["inference_id"] != name or "api_key" in str(made.body):
            raise CheckFailed(f"an unexpected answer: {made.body}")
        if task_type == "text_embedding":
            told = made["service_settings"]
            tour.check(
                (told["dimensions"], told["similarity"]) == (DIMENSIONS, "cosine"),
                f"{told['dimensions']} dimensions, {told['similarity']}: learned from the provider",
            )


def index_passages(tour: Tour) -> None:
    vector = {"type": "dense_vector", "dims": DIMENSIONS, "index": True, "similarity": "cosine"}
    properties = {"title": {"type": "text"}, "text": {"type": "text"}, "vector": vector}
    tour.client.indices.create(index=tour.index, mappings={"properties": properties})
    tour.leftovers.append(lambda: tour.client.indices.delete(index=tour.index))
    vectors = _embed_corpus(tour)
    lengths = {len(vector) for vector in vectors}
    tour.check(lengths == {DIMENSIONS}, f"{len(vectors)} vectors of {DIMENSIONS} dimensions")
    operations: list[Mapping[str, Any]] = []
    for passage, vector_of_it in zip(tour.corpus, vectors, strict=True):
        operations.append({"index": {"_id": passage.id}})
        operations.append({"title": passage.title, "text": passage.text, "vector": vector_of_it})
    answer = tour.client.bulk(index=tour.index, operations=operations, refresh=True)
    count = tour.client.count(index=tour.index)["count"]
    tour.check(not answer["errors"] and count == len(tour.corpus), f"{count} documents indexed")


def _embed_corpus(tour: Tour) -> list[list[float]]:
    """Only the first request is shown."""
    texts = [passage.text for passage in tour.corpus]
    began = time.monotonic()
    vectors = tour.embed(texts[:BATCH])
    with tour.quietly(), tour.screen.working("embedding") as say:
        for first in range(BATCH, len(texts), BATCH):
            vectors += tour.embed(texts[first : first + BATCH])
            say(f"embedded {len(vectors)} of {len(texts)} passages")
    seconds = time.monotonic() - began
    calls = -(-len(texts) // BATCH)
    tour.screen.note(
        f"{len(texts)} passages in {calls} such requests, {duration(seconds)}: "
        f"{len(texts) / seconds:.0f} passages a second"
    )
    return vectors


def ask_questions(tour: Tour) -> None:
    vectors = tour.embed([question.question for question in tour.questions])
    _search(tour, vectors[0])  # shown, as the others are the same
    answers, times = [], []
    with tour.quietly(), tour.screen.working("searching"):
        for vector in vectors:
            began = time.monotonic()
            answers.append(_search(tour, vector))
            times.append(time.monotonic() - began)
        by_words = [
            any(hit["_id"] in question.answers for hit in _search_words(tour, question, 3))
            for question in tour.questions
        ]
    right = [
        any(hit["_id"] in question.answers for hit in hits)
        for question, hits in zip(tour.questions, answers, strict=True)
    ]
    tour.screen.line()
    for number, (question, hits) in enumerate(zip(tour.questions, answers, strict=True)):
        if number == SHOWN:
            tour.screen.note(f"… {len(answers) - SHOWN} more, of which these were missed:")
        if number < SHOWN or not right[number]:
            _show_answer(tour.screen, question, hits, right[number])
    count, total = sum(right), len(right)
    tour.screen.line()
    tour.screen.note(
        f"a search takes {duration(statistics.median(times))} (median); "
        f"by words alone, {sum(by_words)} of the {total} questions find a right passage"
    )
    tour.check(
        count >= RECALL * total,
        f"a right passage among the first three for {count} of {total} ({count / total:.0%})",
    )


def _search(tour: Tour, vector: list[float]) -> list[dict[str, Any]]:
    knn = {"field": "vector", "query_vector": vector, "k": 3, "num_candidates": 100}
    answer = tour.client.search(index=tour.index, knn=knn, source_includes="title")
    return list(answer["hits"]["hits"])


def _search_words(tour: Tour, question: Question, size: int) -> list[dict[str, Any]]:
    query = {"multi_match": {"query": question.question, "fields": ["title", "text"]}}
    answer = tour.client.search(index=tour.index, query=query, size=size, source_includes="title")
    return list(answer["hits"]["hits"])


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


def rerank_passages(tour: Tour) -> None:
    question, hits = _poor_ranking(tour)
    ranks = {hit["_id"]: rank for rank, hit in enumerate(hits, 1)}
    texts = {passage.id: passage.text for passage in tour.corpus}
    names = list(ranks)
    answer = tour.client.inference.rerank(
        inference_id=tour.inference_id("rerank"),
        query=question.question,
        input=[texts[name] for name in names],
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
    tour.check(len(rows) == 3, "three results, the endpoint's own top_n")
    tour.check(scores == sorted(scores, reverse=True), "best first")
    texts_match = all(row["text"] == texts[names[row["index"]]] for row in rows)
    tour.check(texts_match, "each with its text, as return_documents says")
    best = names[rows[0]["index"]]
    tour.context = next(passage for passage in tour.corpus if passage.id == best)


def _poor_ranking(tour: Tour) -> tuple[Question, list[dict[str, Any]]]:
    """A question whose answer a search by words ranks low, and the ten passages found."""
    with tour.quietly():
        for question in tour.questions:
            hits = _search_words(tour, question, 10)
            if any(hit["_id"] in question.answers for hit in hits[3:]):
                return question, hits
    raise CheckFailed("a search by words ranks no right passage fourth to tenth")


def _marked(screen: Screen, question: Question, name: str) -> str:
    return screen.style(f"{name} ✓", "green") if name in question.answers else name


def complete_prompt(tour: Tour) -> None:
    answer = tour.client.inference.completion(
        inference_id=tour.inference_id("completion"), input=PROMPT
    )
    text = answer["completion"][0]["result"].strip()
    tour.screen.note(shortened(text, 400))
    tour.screen.note("(The local chat model is tiny: mind how it answers, not what.)")
    tour.check(bool(text), f"an answer of {len(text)} characters")


def chat(tour: Tour) -> None:
    passage = tour.context or tour.corpus[0]
    content = f"{passage.text}\n\nSay in one short sentence what this is about."
    messages = [{"role": "user", "content": content}]
    body = {"messages": messages, "max_completion_tokens": 60, "temperature": 0}
    path = f"/_inference/chat_completion/{tour.inference_id('chat_completion')}/_stream"
    seen = _Stream()
    began = time.monotonic()
    for data in _events(tour, path, body):
        seen.take(data, time.monotonic() - began)
        tour.screen.stream(seen.latest)
    tour.screen.end_stream()
    tour.check(bool(seen.text.strip()), f"{seen.pieces} pieces of text")
    tour.check(seen.is_done, "ended by [DONE]")
    tour.check(
        seen.first < seen.last,
        f"shown as they came: the first after {duration(seen.first)}, "
        f"the last after {duration(seen.last)}",
    )


@dataclass(kw_only=True)
class _Stream:
    """What has arrived of a chat so far; times are seconds since the request."""

    text: str = ""
    latest: str = ""
    pieces: int = 0
    first: float = 0.0
    last: float = 0.0
    is_done: bool = False

    def take(self, data: str, now: float) -> None:
        """Take one event. Raises: CheckFailed for anything but a chunk or [DONE]."""
        self.latest = ""
        if self.is_done:
            raise CheckFailed(f"an event after [DONE]: {data}")
        if data == "[DONE]":
            self.is_done = True
            return
        chunk = json.loads(data)
        if "choices" not in chunk:
            raise CheckFailed(f"the stream holds an error: {data}")
        for choice in chunk["choices"]:
            self.latest += choice["delta"].get("content") or ""
        if self.latest:
            self.text += self.latest
            self.pieces += 1
            self.first = self.first or now
            self.last = now


def _events(tour: Tour, path: str, body: Mapping[str, Any]) -> Iterator[str]:
    """The data of each event as it arrives, which Elastic's client has no call for."""
    connection = http.client.HTTPConnection(urlsplit(tour.parts.proxy).netloc, timeout=TIMEOUT)
    headers = {"Content-Type": "application/json", **_authorization(tour.parts)}
    began = time.monotonic()
    try:
        with tour.screen.working(f"POST {path}"):
            connection.request("POST", path, json.dumps(body), headers)
            answer = connection.getresponse()
        tour.screen.request("POST", path, answer.status, time.monotonic() - began, body)
        if answer.status != 200:
            raise CheckFailed(answer.read().decode(errors="replace"))
        for line in answer:
            if line.startswith(b"data:"):
                yield line.decode().removeprefix("data:").strip()
    finally:
        connection.close()


def _authorization(parts: Parts) -> dict[str, str]:
    """The Authorization header that the client would send."""
    credentials = parts.target.credentials()
    if "api_key" in credentials:
        return {"Authorization": f"ApiKey {credentials['api_key']}"}
    if "basic_auth" in credentials:
        pair = base64.b64encode(":".join(credentials["basic_auth"]).encode()).decode()
        return {"Authorization": f"Basic {pair}"}
    return {}


def list_endpoints(tour: Tour) -> None:
    answer = tour.client.inference.get(inference_id="_all")
    ours = {tour.inference_id(task_type) for task_type in ENDPOINTS}
    rows = [row for row in answer["endpoints"] if row["inference_id"] in ours]
    tour.screen.table(
        [
            row["inference_id"],
            row["task_type"],
            row["service"],
            row["service_settings"]["url"].removeprefix(tour.parts.provider),
        ]
        for row in rows
    )
    if others := len(answer["endpoints"]) - len(rows):
        tour.screen.note(f"and {others} more that were there before")
    tour.check({row["inference_id"] for row in rows} == ours, "all four are there")
    tour.check(API_KEY not in str(answer.body), "their tokens are not shown")


def clean_up(tour: Tour) -> None:
    while tour.leftovers:
        tour.leftovers.pop()()
    left = {row["inference_id"] for row in tour.client.inference.get()["endpoints"]}
    ours = {tour.inference_id(task_type) for task_type in ENDPOINTS}
    tour.check(not left & ours, "nothing is left of it")


def _delete_endpoint(tour: Tour, task_type: str) -> None:
    name = tour.inference_id(task_type)
    tour.client.inference.delete(task_type=task_type, inference_id=name)


def _reason_in(body: Any) -> str:
    """The reason in an error of Elasticsearch."""
    error = body.get("error", body) if isinstance(body, dict) else body
    return str(error.get("reason", error) if isinstance(error, dict) else error)


STEPS: Final[Sequence[tuple[str, Step]]] = (
    ("Elasticsearch, seen through the proxy", see_cluster),
    ("Create an inference endpoint for each task", create_endpoints),
    ("Embed the passages, and index them with their vectors", index_passages),
    ("Ask questions that share hardly a word with their answers", ask_questions),
    ("Rerank what a search by words has found", rerank_passages),
    ("Complete a prompt", complete_prompt),
    ("Chat, word by word as it comes", chat),
    ("List the inference endpoints", list_endpoints),
)
