"""The semantic layer as a caller sees it: a proxy, its upstream, and an endpoint of the stub's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from tests.support.endpoints import JSON, put
from tests.support.processes import Serve
from tests.support.rawhttp import Answer, send
from tests.support.stubs import FaultyServer, contract_reply, in_thread

ENABLED: Final = {"HFPROXY_SEMANTIC_ENABLED": "true"}
FIELD: Final = {"type": "semantic_text", "inference_id": "embed"}
TEXT: Final = {"type": "text"}
MAPPINGS: Final = {"properties": {"body": FIELD, "title": TEXT}}
TEXTS: Final = {"properties": {"body": TEXT, "title": TEXT}}  # of a plain index
HIDDEN: Final = "xinf"


@dataclass(slots=True)
class Caller:
    """Somebody who sends requests to `url`; what is made in indices of these names is removed."""

    url: str
    headers: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, method: str, target: str, body: Any = None, **more: Any) -> Answer:
        data: bytes | None
        if isinstance(body, list):
            data = b"".join(orjson.dumps(line) + b"\n" for line in body)
        else:
            data = None if body is None else orjson.dumps(body)
        return send(self.url, method, target, [*self.headers, *JSON], data, **more)

    def ok(self, method: str, target: str, body: Any = None) -> Any:
        """The document of an answer without an error."""
        answer = self(method, target, body)
        assert answer.status < 300, answer.text
        found = orjson.loads(answer.content) if answer.content else None
        assert not (isinstance(found, dict) and found.get("errors")), answer.text
        return found

    def as_user(self, authorization: str) -> Caller:
        return Caller(self.url, [("Authorization", authorization)])


def put_endpoint(caller: Caller, provider: str, name: str = "embed") -> None:
    answer = put(caller.url, name, provider, headers=caller.headers)
    assert answer.status == 200, answer.text


@contextmanager
def proxy_and_upstream(
    serve: Serve, upstream: str, name: str, indices: Mapping[str, Any]
) -> Iterator[tuple[Caller, Caller]]:
    """A proxy with a store of that name, and the upstream itself.

    There are these indices with their mappings, and in each of them the same document.
    """
    with in_thread(FaultyServer(contract_reply)) as stub:
        env = {**ENABLED, "HFPROXY_STORE_INDEX": f"hugging-face-inference-endpoints-{name}"}
        proxy, direct = Caller(serve(upstream=upstream, env=env).url), Caller(upstream)
        put_endpoint(proxy, stub.url)
        for index, mappings in indices.items():
            proxy.ok("PUT", f"/{index}", {"mappings": mappings})
            proxy.ok("PUT", f"/{index}/_doc/1?refresh=true", {"body": "a moon"})
        yield proxy, direct
        direct.ok("DELETE", f"/{','.join(indices)}")


def is_filled(direct: Caller, index: str, document: str) -> bool:
    """Whether a document has vectors, as the upstream itself tells."""
    body = {
        "_source": False,
        "query": {
            "bool": {
                "filter": [
                    {"ids": {"values": [document]}},
                    {
                        "nested": {
                            "path": "xinf.body.chunks",
                            "query": {"match_all": {}},
                            "ignore_unmapped": True,
                        }
                    },
                ]
            }
        },
    }
    direct.ok("POST", f"/{index}/_refresh")
    return bool(direct.ok("POST", f"/{index}/_search", body)["hits"]["hits"])
