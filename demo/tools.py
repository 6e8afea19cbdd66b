"""What the steps of the tour share: its parts, its screen, and a client that is watched."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from elastic_transport import Transport, TransportApiResponse
from elasticsearch import Elasticsearch

from demo.corpus import Passage, Question, passages, questions
from demo.parts import Parts
from demo.quality import Quality
from demo.show import Screen

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
TIMEOUT: Final = 120.0  # seconds for a request, enough for a small, busy machine


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
    quality: Mapping[str, Quality] = field(default_factory=dict)  # of each way to search

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


Step = Callable[[Tour], None]
