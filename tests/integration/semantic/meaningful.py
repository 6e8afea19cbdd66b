"""A proxy with indices that can be searched by meaning, and a provider that counts its calls."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from testbed.elasticsearch import Elasticsearch
from tests.support.meaning import meaning_reply, vector
from tests.support.processes import Serve
from tests.support.searching import Client
from tests.support.stubs import Call, FaultyServer, Reply, in_thread, json_reply

SLOW: Final = 5.0  # seconds that a text takes which says so
HNSW: Final = {"dense_vector": {"type": "hnsw"}}  # exact, and with a k


def reply(call: Call) -> Reply:
    """As `meaning_reply`; `/embed8` makes vectors of 8, and a text with SLOW in it takes long."""
    texts = call.json.get("inputs", [])
    if call.path == "/embed8":
        return json_reply([vector(text, 8) for text in texts])
    answer = meaning_reply(call)
    return json_reply(json.loads(answer.body), delay=SLOW) if "SLOW" in str(texts) else answer


@dataclass(frozen=True, slots=True)
class Place:
    """Where tests search: indices have the prefix of their module."""

    client: Client
    provider: FaultyServer
    prefix: str

    def name(self, short: str) -> str:
        """Names of indices, or of endpoints, that other tests do not use."""
        return ",".join(f"{self.prefix}-{one}" for one in short.split(","))

    def endpoint(self, short: str, path: str = "/embed", **settings: Any) -> str:
        """Make an endpoint; its id."""
        made = {"url": self.provider.url + path, "api_key": "hf_secret", **settings}
        task = "sparse_embedding" if path == "/sparse" else "text_embedding"
        target = f"/_inference/{task}/{self.name(short)}"
        self.client("DELETE", f"{target}?force=true")
        body = {"service": "hugging_face", "service_settings": made}
        answer = self.client("PUT", target, body)
        assert answer.status == 200, answer.text
        return self.name(short)

    def index(self, short: str, documents: Mapping[str, Any], **properties: Any) -> str:
        """Make an index with these documents by id; its name."""
        name = self.name(short)
        self.client("DELETE", f"/{name}")
        made = self.client("PUT", f"/{name}", {"mappings": {"properties": properties}})
        assert made.status == 200, made.text
        if documents:
            lines = [
                json.dumps(line)
                for key, document in documents.items()
                for line in ({"index": {"_id": key}}, document)
            ]
            filled = self.client(
                "POST", f"/{name}/_bulk?refresh=true", ("\n".join(lines) + "\n").encode()
            )
            assert not filled.document["errors"], filled.text
        return name

    def search(self, short: str, query: Any = None, **more: Any) -> Any:
        """The answer to a search that has to work."""
        status, document = self.ask(short, query, **more)
        assert status == 200, document
        return document

    def ask(self, short: str, query: Any = None, **more: Any) -> tuple[int, Any]:
        """Status and document of the answer to a search."""
        body = more if query is None else {"query": query, **more}
        return self.post(f"/{self.name(short)}/_search", body)

    def post(self, target: str, body: Any = None) -> tuple[int, Any]:
        """Status and document of an answer that must not tell of what the layer adds."""
        answer = self.client("POST", target, body)
        assert "xinf" not in answer.text
        return answer.status, answer.document

    @contextmanager
    def embedding(self) -> Iterator[list[list[str]]]:
        """The texts of each call that the provider gets meanwhile."""
        before = len(self.provider.calls)
        calls: list[list[str]] = []
        yield calls
        calls.extend(sorted(call.json["inputs"]) for call in self.provider.calls[before:])


@contextmanager
def place(serve: Serve, elasticsearch: Elasticsearch, prefix: str) -> Iterator[Place]:
    env = {
        "HFPROXY_SEMANTIC_ENABLED": "true",
        "HFPROXY_STORE_INDEX": f"hugging-face-inference-endpoints-{prefix}",
    }
    with in_thread(FaultyServer(reply)) as provider:
        client = Client(serve(upstream=elasticsearch.url, env=env).url)
        yield Place(client, provider, prefix)
        client("DELETE", f"/{prefix}-*?expand_wildcards=all")


def semantic(text: str, field: str = "body", **more: Any) -> Any:
    return {"semantic": {"field": field, "query": text, **more}}


def field(endpoint: str, **more: Any) -> Any:
    return {"type": "semantic_text", "inference_id": endpoint, "index_options": HNSW, **more}


def ids(answer: Any) -> list[str]:
    return [hit["_id"] for hit in answer["hits"]["hits"]]


def scores(answer: Any) -> dict[str, float]:
    return {hit["_id"]: hit["_score"] for hit in answer["hits"]["hits"]}
