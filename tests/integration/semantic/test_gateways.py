"""A gateway between the proxy and Elasticsearch may write answers anew: they mean the same."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from aiohttp import ClientSession, web
from multidict import CIMultiDict, CIMultiDictProxy

from tests.support.layer import MAPPINGS, Caller, proxy_and_upstream
from tests.support.stubs import in_thread

INDEX: Final = "respelled"
BULK: Final = [
    *({"index": {"_id": "1"}}, {"body": "a moon", "title": "☾"}),
    *({"create": {"_id": "1"}}, {"body": "a moon"}),
    *({"update": {"_id": "1"}}, {"doc": {"body": "a sun"}, "_source": True}),
    {"delete": {"_id": "nothing"}},
]
MEANT: Final = {"semantic": {"field": "body", "query": "a sun"}}
# Of one document, as the provider's vectors are all the same.
MEANING: Final = {"query": {"bool": {"must": MEANT, "filter": {"ids": {"values": ["1"]}}}}}
FUSED: Final = {"retriever": {"rrf": {"retrievers": [{"standard": MEANING}] * 2}}}
REQUESTS: Final[tuple[tuple[str, str, Any], ...]] = (
    ("POST", f"/{INDEX}/_bulk?refresh=true", BULK),
    ("PUT", f"/{INDEX}/_doc/2?refresh=true", {"body": "a star"}),
    ("POST", f"/{INDEX}/_update/2?refresh=true", {"doc": {"body": "a comet"}}),
    ("GET", f"/{INDEX}/_doc/2", None),
    ("POST", f"/{INDEX}/_mget", {"ids": ["1", "2", "nothing"]}),
    ("POST", f"/{INDEX}/_search", {**MEANING, "highlight": {"fields": {"body": {}}}}),
    ("POST", f"/{INDEX}/_search", FUSED),
    ("POST", f"/{INDEX}/_msearch", [{}, MEANING, {"index": "nothing"}, MEANING]),
    ("GET", f"/{INDEX}/_mapping", None),
)
# What differs from one time to the next; scores, as quantized vectors are merged.
_PASSING: Final = frozenset(
    ("took", "_version", "_seq_no", "_primary_term", "result", "_score", "max_score")
)
Spelling = Callable[[Any], bytes]


def with_fractions(document: Any) -> bytes:
    compact = json.dumps(document, separators=(",", ":")).encode()
    return re.sub(rb'"status":(\d+)', rb'"status":\1.0', compact)


SPELLINGS: Final[dict[str, Spelling]] = {
    "pretty": lambda one: json.dumps(one, indent=2, ensure_ascii=False).encode() + b"\n",
    "spaced": lambda one: json.dumps(one, separators=(" ,\n", " :\t")).encode(),
    "sorted": lambda one: json.dumps(one, separators=(",", ":"), sort_keys=True).encode(),
    "with fractions": with_fractions,
}


class Gateway:
    """Passes everything on to Elasticsearch, and its JSON back in another spelling."""

    def __init__(self, upstream: str) -> None:
        self.url = ""
        self.spelling: Spelling | None = None
        self._upstream = upstream

    async def __aenter__(self) -> Gateway:
        self._session = ClientSession()
        application = web.Application(client_max_size=1 << 30)
        application.router.add_route("*", "/{path:.*}", self._pass)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _pass(self, request: web.Request) -> web.Response:
        body = await request.read()
        url, headers = self._upstream + request.raw_path, _without_framing(request.headers)
        async with self._session.request(
            request.method, url, data=body or None, headers=headers
        ) as answer:
            data, kept = await answer.read(), _without_framing(answer.headers)
            if self.spelling is not None and data and answer.content_type == "application/json":
                data = self.spelling(json.loads(data))
            return web.Response(body=data, status=answer.status, headers=kept)


def _without_framing(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    left_out = ("host", "connection", "content-length", "transfer-encoding", "content-encoding")
    return CIMultiDict((name, one) for name, one in headers.items() if name.lower() not in left_out)


@pytest.fixture(scope="module")
def here(serve_for_session, elasticsearch) -> Iterator[tuple[Gateway, Caller]]:
    with (
        in_thread(Gateway(elasticsearch.url)) as gateway,
        proxy_and_upstream(serve_for_session, gateway.url, INDEX, {INDEX: MAPPINGS}) as (proxy, _),
    ):
        yield gateway, proxy
        gateway.spelling = None


def told(proxy: Caller) -> list[Any]:
    proxy("DELETE", f"/{INDEX}/_doc/2?refresh=true")
    answers = [proxy(method, target, body) for method, target, body in REQUESTS]
    return [(one.status, lasting(json.loads(one.content))) for one in answers]


def lasting(value: Any) -> Any:
    if isinstance(value, list):
        return [lasting(one) for one in value]
    if isinstance(value, dict):
        return {key: lasting(one) for key, one in value.items() if key not in _PASSING}
    if isinstance(value, str):
        return re.sub(r"seqNo \[\d+\], primary term \[\d+\]|version \[\d+\]", "", value)
    return value


@pytest.mark.parametrize("name", SPELLINGS)
def test_answers_are_read_however_they_are_spelled(here, name):
    gateway, proxy = here
    gateway.spelling = None
    told(proxy)
    plain = told(proxy)
    gateway.spelling = SPELLINGS[name]
    for answer, other in zip(told(proxy), plain, strict=True):
        assert answer == other
    assert [status for status, _ in plain] == [200, 201, *[200] * 7]
