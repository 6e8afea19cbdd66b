"""Asynchronous searches and ES|QL, answered as Elasticsearch does; a plain one stands behind.

The Elasticsearch of the tests is without the modules. What is searched asynchronously is searched
there all the same, so that it takes what it is sent; it has no ES|QL, and queries are only noted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import orjson

from tests.support.rawhttp import Answer, send
from tests.support.stubs import Call, Reply, json_reply

_ASYNC: Final = ("wait_for_completion_timeout", "keep_on_completion", "keep_alive")
_PASSED: Final = ("content-type", "x-elastic-product")
_FROM: Final = re.compile(r"FROM (\S+)")
_EMPTY: Final = {"took": 0, "hits": {"hits": []}}


@dataclass(slots=True)
class XPack:
    """Answers as FaultyServer has it."""

    plain: str  # the URL of the plain Elasticsearch
    found: dict[str, Any] = field(default_factory=dict)  # what asynchronous searches found, by id
    queries: list[Any] = field(default_factory=list)  # the bodies of ES|QL requests

    def __call__(self, call: Call) -> Reply:
        segments = call.path.strip("/").split("/")
        if call.method == "POST" and segments[-1] == "_async_search":
            return self._begun(call)
        if segments[0] == "_async_search":
            return json_reply(_ended(self.found[segments[1]], segments[1]))
        if segments[:1] == ["_query"]:
            return self._queried(call)
        answer = self._send(call.method, call.target, call.body, call.headers)
        headers = {name: value for name, value in answer.headers if name.lower() in _PASSED}
        return Reply(status=answer.status, headers=headers, body=answer.content)

    def _send(
        self, method: str, target: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> Answer:
        kind = (headers or {}).get("Content-Type", "application/json")
        sent = [("Content-Type", kind)] if body else []
        return send(self.plain, method, target, sent, body or None)

    def _begun(self, call: Call) -> Reply:
        """An asynchronous search; one without time to wait runs on."""
        path = call.path.replace("_async_search", "_search")
        given = dict(parse_qsl(call.target.partition("?")[2]))
        kept = {name: value for name, value in given.items() if name not in _ASYNC}
        answer = self._send("POST", f"{path}?{urlencode(kept)}", call.body)
        document = orjson.loads(answer.content)
        if answer.status >= 300:
            return json_reply(document, answer.status)
        if given.get("wait_for_completion_timeout") != "0":
            return json_reply(_ended(document))
        name = f"search-{len(self.found)}"
        self.found[name] = document
        return json_reply({"id": name, "is_partial": True, "is_running": True, "response": _EMPTY})

    def _queried(self, call: Call) -> Reply:
        """Every mapped field of the documents, those within nested ones left out."""
        self.queries.append(orjson.loads(call.body))
        asked = _FROM.match(self.queries[-1]["query"])
        if asked is None:
            return json_reply({"columns": [], "values": []})
        mappings = orjson.loads(self._send("GET", f"/{asked[1]}/_mapping", b"").content)
        (mapping,) = (one["mappings"] for one in mappings.values())
        columns = [*_leaves(mapping["properties"]), {"name": "_source", "type": "_source"}]
        body = b'{"_source":{"exclude_vectors":false}}'
        hits = orjson.loads(self._send("POST", f"/{asked[1]}/_search", body).content)["hits"][
            "hits"
        ]
        rows = [
            [*(hit["_source"].get(one["name"]) for one in columns[:-1]), hit["_source"]]
            for hit in hits
        ]
        if self.queries[-1].get("columnar"):
            rows = [list(one) for one in zip(*rows, strict=True)]
        return json_reply({"took": 1, "is_partial": False, "columns": columns, "values": rows})


def _ended(document: Any, name: str | None = None) -> Any:
    """The answer to a search that has ended; it has no id if nothing of it is kept."""
    about = {} if name is None else {"id": name}
    return {**about, "is_partial": False, "is_running": False, "response": document}


def _leaves(properties: Mapping[str, Any], prefix: str = "") -> Iterator[dict[str, str]]:
    for name, one in sorted(properties.items()):
        if one.get("type") == "nested":
            continue
        if "properties" in one:
            yield from _leaves(one["properties"], f"{prefix}{name}.")
        elif "type" in one and one["type"] != "object":
            yield {"name": prefix + name, "type": one["type"]}
