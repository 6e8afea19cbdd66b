from __future__ import annotations

import orjson

from proxy.inference.endpoints import TaskType
from proxy.limits.deadline import Deadline
from proxy.semantic.retrievers.remembering import RememberingEndpoints
from proxy.xcontent.numbers import Numbers
from tests.support.samples import make_endpoint


class Embedding:
    """Endpoints that note which texts are embedded."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []

    async def embed(self, endpoint, texts, deadline, input_type):
        self.calls.append((input_type, list(texts)))
        return [Numbers.of([float(len(text))]) for text in texts]


async def test_each_text_is_embedded_once():
    inner = Embedding()
    endpoints = RememberingEndpoints(inner)  # type: ignore[arg-type] # it only embeds
    endpoint, deadline = make_endpoint(TaskType.TEXT_EMBEDDING), Deadline.after(10)

    async def embed(*texts: str, kind: str = "search") -> list[list[float]]:
        found = await endpoints.embed(endpoint, texts, deadline, kind)
        return [orjson.loads(one.json) for one in found]

    assert await embed("a", "bb", "a") == [[1.0], [2.0], [1.0]]
    assert await embed("bb", "ccc") == [[2.0], [3.0]]
    assert await embed("a", kind="ingest") == [[1.0]]
    assert inner.calls == [("search", ["a", "bb"]), ("search", ["ccc"]), ("ingest", ["a"])]
