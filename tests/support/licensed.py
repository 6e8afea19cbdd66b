"""What a licensed Elasticsearch would be asked, recorded; a plain one stands behind it.

No licensed one can be had for tests. This one shows an index of plain texts as if its fields were
of type `semantic_text`, and takes such fields and `_inference_fields` without doing anything with
them. So it proves what is sent, and nothing about what a licensed Elasticsearch makes of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.support.rawhttp import send
from tests.support.stubs import Call, Reply, json_reply

INFERENCE = "_inference_fields"


@dataclass(slots=True)
class Licensed:
    """Answers as FaultyServer has it; `shown` are the mappings of its indices, by name."""

    plain: str  # the URL of the plain Elasticsearch
    endpoints: tuple[str, ...] = ("embed",)
    shown: dict[str, Any] = field(default_factory=dict)
    inference: dict[str, Any] = field(default_factory=dict)  # of documents, by id
    asked: list[tuple[str, str]] = field(default_factory=list)
    documents: dict[str, Any] = field(default_factory=dict)  # as they were sent, by id
    made: dict[str, Any] = field(default_factory=dict)  # bodies that made indices, by name

    def __call__(self, call: Call) -> Reply:
        self.asked.append((call.method, call.path))
        segments = call.path.strip("/").split("/")
        if segments[0] == "_inference":
            return self._endpoint(segments[-1])
        body = call.body
        if call.method == "PUT" and len(segments) == 1:
            self.made[segments[0]] = orjson.loads(body)
            self.shown[segments[0]] = self.made[segments[0]]["mappings"]
            body = orjson.dumps(_as_plain(self.made[segments[0]]))
        if segments[-1] == "_bulk":
            body = self._kept(body)
        kind = call.headers.get("Content-Type", "application/json")
        headers = [("Content-Type", kind)] if body else []
        answer = send(self.plain, call.method, call.target, headers, body or None)
        document = orjson.loads(answer.content or b"null")
        return json_reply(self._as_licensed(document), answer.status)

    def _endpoint(self, inference_id: str) -> Reply:
        if inference_id in self.endpoints:
            return json_reply({"endpoints": [{"inference_id": inference_id}]})
        error = {"type": "resource_not_found_exception", "reason": "Inference endpoint not found"}
        return json_reply({"error": error, "status": 404}, 404)

    def _kept(self, body: bytes) -> bytes:
        """The documents of a bulk without what a plain Elasticsearch would map."""
        lines = body.splitlines()
        made = []
        while lines:
            action = lines.pop(0)
            made.append(action)
            ((name, meta),) = orjson.loads(action).items()
            if name != "delete":
                document = orjson.loads(lines.pop(0))
                self.documents[meta["_id"]] = dict(document)
                self.inference[meta["_id"]] = document.pop(INFERENCE, None)
                made.append(orjson.dumps(document))
        return b"".join(line + b"\n" for line in made)

    def _as_licensed(self, document: Any) -> Any:
        if not isinstance(document, dict):
            return document
        for name, mapping in self.shown.items():
            if isinstance(about := document.get(name), dict) and "mappings" in about:
                about["mappings"] = mapping
        hits = document.get("hits")
        for hit in hits.get("hits", ()) if isinstance(hits, dict) else ():
            if "_source" in hit and (given := self.inference.get(hit["_id"])):
                hit["_source"][INFERENCE] = given
        return document


def _as_plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        if value.get("type") == "semantic_text":
            return {"type": "text", **({"fields": value["fields"]} if "fields" in value else {})}
        return {key: _as_plain(one) for key, one in value.items()}
    return value
