"""The steps of the tour: each shows something, and checks what it shows."""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from demo.parts import Parts
from demo.searching import (
    ask_questions,
    compare_ways,
    find_paragraphs,
    index_passages,
    rerank_passages,
)
from demo.show import duration, shortened
from demo.tools import API_KEY, DIMENSIONS, ENDPOINTS, PATHS, TIMEOUT, CheckFailed, Step, Tour

BATCH: Final = 64  # texts in a request: twice as many as the provider takes at once
PROMPT: Final = "Write one sentence about the sea."


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
            body["task_settings"] = {"return_documents": True}
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


def embed_texts(tour: Tour) -> None:
    texts = [passage.text for passage in tour.corpus[:BATCH]]
    answer = tour.client.inference.text_embedding(
        inference_id=tour.inference_id("text_embedding"), input=texts
    )
    vectors = [row["embedding"] for row in answer["text_embedding"]]
    lengths = {len(vector) for vector in vectors}
    tour.check(lengths == {DIMENSIONS}, f"{len(vectors)} vectors of {DIMENSIONS} dimensions")


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
    ("Index passages into a field that can be searched by meaning", index_passages),
    ("Ask questions that share hardly a word with their answers", ask_questions),
    ("Compare words, meaning, both, and both reranked", compare_ways),
    ("Find a paragraph in long documents", find_paragraphs),
    ("Embed texts", embed_texts),
    ("Rerank what a search by words has found", rerank_passages),
    ("Complete a prompt", complete_prompt),
    ("Chat, word by word as it comes", chat),
    ("List the inference endpoints", list_endpoints),
)
