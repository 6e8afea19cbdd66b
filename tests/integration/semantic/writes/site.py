"""What tests of writing do: declare fields, write through the proxy, look at what is stored."""

from __future__ import annotations

from typing import Any

import orjson

from tests.support.embedder import Embedder, vector_of
from tests.support.rawhttp import Answer, send

_JSON = [("Content-Type", "application/json")]
_NDJSON = [("Content-Type", "application/x-ndjson")]


def lines(*documents: Any) -> bytes:
    """A body of `_bulk`; bytes are lines as they are."""
    dumped = [one if isinstance(one, bytes) else orjson.dumps(one) for one in documents]
    return b"".join(line + b"\n" for line in dumped)


class Site:
    def __init__(self, proxy: str, upstream: str, embedder: Embedder, prefix: str) -> None:
        self.proxy = proxy
        self.upstream = upstream
        self.embedder = embedder
        self.prefix = prefix

    def send(
        self, method: str, target: str, body: Any = None, *, base: str | None = None
    ) -> Answer:
        data = body if body is None or isinstance(body, bytes) else orjson.dumps(body)
        return send(base or self.proxy, method, target, _JSON if data else [], data)

    def ok(self, method: str, target: str, body: Any = None, *, base: str | None = None) -> Any:
        answer = self.send(method, target, body, base=base)
        assert answer.status < 300, answer.text
        return orjson.loads(answer.content)

    def bulk(self, *documents: Any, target: str = "/_bulk", base: str | None = None) -> Any:
        answer = self.raw_bulk(lines(*documents), target=target, base=base)
        assert answer.status == 200, answer.text
        return orjson.loads(answer.content)

    def raw_bulk(self, body: Any, *, target: str = "/_bulk", base: str | None = None) -> Answer:
        return send(base or self.proxy, "POST", target, _NDJSON, body)

    def put_endpoint(self, inference_id: str, path: str = "/embed") -> None:
        settings = {"url": self.embedder.url + path, "api_key": "secret"}
        body = {"service": "hugging_face", "service_settings": settings}
        answer = self.send("PUT", f"/_inference/text_embedding/{inference_id}", body)
        assert answer.status == 200 or b"already exists" in answer.content, answer.text

    def make(self, index: str, properties: dict[str, Any] | None = None, **more: Any) -> str:
        """An index with the semantic field `body`, or these fields."""
        declared = properties or {"body": semantic(), "title": {"type": "text"}}
        self.ok("PUT", f"/{index}", {"mappings": {"properties": declared}, **more})
        return index

    def stored(self, index: str, document: str, **parameters: str) -> dict[str, Any]:
        """The source of a document as Elasticsearch has it."""
        query = "&".join(f"{name}={text}" for name, text in parameters.items())
        path = f"/{index}/_doc/{document}?_source_exclude_vectors=false&{query}"
        source: dict[str, Any] = self.ok("GET", path, base=self.upstream)["_source"]
        return source

    def chunks(self, index: str, document: str, key: str = "body") -> list[tuple[str, int, int]]:
        """Source, start and end of a document's chunks."""
        container = self.stored(index, document).get("xinf", {})
        found = container.get(key, {}).get("chunks", [])
        assert all("embeddings" in chunk for chunk in found)
        return [(chunk["field"], chunk["start"], chunk["end"]) for chunk in found]

    def vectors(self, index: str, document: str, key: str = "body") -> list[list[float]]:
        container = self.stored(index, document)["xinf"]
        return [chunk["embeddings"] for chunk in container[key]["chunks"]]

    def clean(self) -> None:
        for name in self.ok("GET", "/_alias?expand_wildcards=all", base=self.upstream):
            if name.startswith(self.prefix):
                self.send("DELETE", f"/{name}", base=self.upstream)
        for kind in ("_index_template", "_template"):
            self.send("DELETE", f"/{kind}/{self.prefix}*", base=self.upstream)


def semantic(inference_id: str = "w-embed", **more: Any) -> dict[str, Any]:
    return {"type": "semantic_text", "inference_id": inference_id, **more}


def is_close(found: list[float], text: str) -> bool:
    """Whether a vector is that of a text."""
    return all(abs(a - b) < 1e-4 for a, b in zip(found, vector_of(text), strict=True))
