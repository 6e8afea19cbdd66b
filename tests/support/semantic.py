"""Semantic fields through a proxy: requests and their answers, as tests write them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import orjson

from tests.support.rawhttp import Answer, send


@dataclass(frozen=True, slots=True)
class Caller:
    """Sends JSON to a proxy, or to Elasticsearch itself."""

    url: str

    def send(self, method: str, path: str, body: Any = None) -> Answer:
        """Lists are sent as newline-delimited JSON, bytes as they are."""
        if body is None:
            return send(self.url, method, path)
        kind = "application/json"
        if isinstance(body, list):
            kind = "application/x-ndjson"
            body = b"".join(orjson.dumps(line) + b"\n" for line in body)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return send(self.url, method, path, [("Content-Type", kind)], data)

    def ask(self, method: str, path: str, body: Any = None, *, status: int | None = 200) -> Any:
        """The document of an answer, which has that status; any below 300 if that is None."""
        answer = self.send(method, path, body)
        good = answer.status < 300 if status is None else answer.status == status
        assert good, f"{method} {path}: {answer.status} {answer.text[:2000]}"
        return orjson.loads(answer.content or b"null")

    def error(self, method: str, path: str, body: Any = None, *, status: int = 400) -> Any:
        """The `error` of an answer with that status."""
        return self.ask(method, path, body, status=status)["error"]

    def mapping(self, index: str) -> Any:
        """The properties of an index."""
        return self.ask("GET", f"/{index}/_mapping")[index]["mappings"]["properties"]

    def put_endpoint(self, inference_id: str, url: str, task: str = "text_embedding") -> None:
        """Make an endpoint of the provider at `url`."""
        settings = {"url": url, "api_key": "secret"}
        body = {"service": "hugging_face", "service_settings": settings}
        self.ask("PUT", f"/_inference/{task}/{inference_id}", body)
