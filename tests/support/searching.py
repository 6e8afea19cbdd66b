"""Searches with retrievers, sent as any caller could."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson

from tests.support.rawhttp import send

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Answered:
    status: int
    text: str

    @property
    def document(self) -> Any:
        return orjson.loads(self.text)


@dataclass(frozen=True, slots=True)
class Client:
    """Sends JSON, or bytes as lines of it, and knows the index that is searched unless told."""

    url: str
    index: str = ""

    def __call__(self, method: str, target: str, body: Any = None) -> Answered:
        lines = isinstance(body, bytes)
        media = "application/x-ndjson" if lines else JSON
        data = body if lines or body is None else orjson.dumps(body)
        answer = send(self.url, method, target, [("Content-Type", media)], data)
        return Answered(answer.status, answer.text)

    def search(self, retriever: Any, index: str | None = None, **more: Any) -> Any:
        """The answer to a search that has to work."""
        answer = self._search(retriever, index, more)
        assert answer.status == 200, answer.text
        return answer.document

    def refusal(self, retriever: Any, index: str | None = None, **more: Any) -> Any:
        """The answer to a search that must not work."""
        answer = self._search(retriever, index, more)
        assert answer.status == answer.document["status"] >= 400
        return answer.document

    def _search(self, retriever: Any, index: str | None, more: Any) -> Answered:
        body = {"retriever": retriever, **more}
        answer = self("POST", f"/{index or self.index}/_search", body)
        assert "xinf" not in answer.text
        return answer


def found(answer: Any) -> dict[str, float]:
    """The scores of hits by id, in order."""
    return {hit["_id"]: hit["_score"] for hit in answer["hits"]["hits"]}


def constant(boosts: dict[str, float]) -> Any:
    """A leaf that gives these documents these scores."""
    queries = [
        {"constant_score": {"filter": {"ids": {"values": [key]}}, "boost": boost}}
        for key, boost in boosts.items()
    ]
    return {"standard": {"query": {"bool": {"should": queries}}}}


def rrf(*retrievers: Any, **more: Any) -> Any:
    return {"rrf": {"retrievers": list(retrievers), **more}}


def linear(*retrievers: Any, **more: Any) -> Any:
    return {"linear": {"retrievers": list(retrievers), **more}}
