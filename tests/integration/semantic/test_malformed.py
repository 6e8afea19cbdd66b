"""What Elasticsearch refuses of requests, it refuses of those about semantic fields, too.

Each is sent to an index with a semantic field, and to one with a text in its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson
import pytest

from tests.support.endpoints import JSON
from tests.support.layer import MAPPINGS, TEXTS, Caller, proxy_and_upstream
from tests.support.rawhttp import Answer, send

OURS: Final = "malformed-ours"
TWIN: Final = "malformed-twin"
SEARCHES: Final = ("_search", "_count", "_validate/query", "_explain/1", "_mget")
OTHERS: Final = ("_field_caps?fields=*", "_pit?keep_alive=1m")
NO_JSON: Final = (
    *(b"{} x", b"{}{}", b"{}]", b"{", b"[]", b"null", b"1", b'"a"', b"", b" ", b"{,}", b'{"a":}'),
    *(b'{"query":{"match_all":{}},}', b'{"query":{"match_all":{}}} ,', b"\xff\xfe"),
    *(b"// x\n{}", b"{} // x", b'{"a":NaN}', b"{'query':{}}", b'{"query":{"match_all":{}}}\n\n'),
    b'{"query":{"match_all":{}},"query":{"match_all":{}}}',
)
NO_SEARCH: Final = (
    *(b'{"query":{}}', b'{"query":null}', b'{"query":[]}', b'{"query":{"bogus":{}}}'),
    *(b'{"query":{"bool":{"must":3}}}', b'{"query":{"exists":{}}}', b'{"query":{"nested":{}}}'),
    *(b'{"query":{"ids":{"values":3}}}', b'{"size":-1}', b'{"size":"3"}', b'{"size":3.5}'),
    *(b'{"_source":3}', b'{"_source":[1]}', b'{"fields":"body"}', b'{"fields":[1]}'),
    *(b'{"fields":[]}', b'{"fields":["title"]}', b'{"highlight":3}', b'{"highlight":{}}'),
    *(b'{"highlight":{"fields":[]}}', b'{"highlight":{"fields":{"body":{}}}}'),
    *(b'{"retriever":{}}', b'{"retriever":{"standard":{}}}', b'{"knn":3}', b'{"knn":{}}'),
    *(b'{"sort":3}', b'{"sort":["bogus"]}', b'{"aggs":{"a":{}}}', b'{"pit":{}}', b'{"bogus":1}'),
    *(b'{"search_after":[1]}', b'{"timeout":"x"}', b'{"rescore":{}}'),
)
NO_MATCH: Final[tuple[Any, ...]] = (
    *({}, {"body": "a", "title": "b"}, {"body": ["a"]}, {"body": None}, {"body": {}}),
    *(
        {"body": {"query": "moon", **option}}
        for option in (
            {},
            {"bogus": 1},
            {"operator": "xor"},
            {"operator": "AND", "zero_terms_query": "All"},
            {"zero_terms_query": "x"},
            {"lenient": "x"},
            {"lenient": True},
            {"boost": "x"},
            {"prefix_length": "x"},
            {"fuzziness": "x"},
            {"fuzziness": "auto:1,3", "max_expansions": 3},
        )
    ),
)
WRITES: Final = (
    *(("PUT", "_doc/5", body) for body in (b'{"title":"a"} x', b'{"title":"a"}{}', b"[]", b"1")),
    *(("PUT", "_doc/5", body) for body in (b"", b"{}", b'{"":1}', b'{"a..b":1}', b'{"_id":"x"}')),
    *(
        ("POST", f"{path}?op_type={kind}", b"{}")
        for path in ("_doc", "_doc/5", "_create/new")
        for kind in ("index", "bogus")
    ),
    *(("POST", "_update/1", body) for body in (b'{"doc":3}', b'{"doc":{}} x', b'{"upsert":{}}')),
    *(("POST", "_update/1", body) for body in (b'{"doc":{},"bogus":1}', b"{}", b'{"doc":null}')),
    *(
        ("POST", "_bulk", body)
        for body in (
            b'{"index":{}}\n{"title":"a"}',
            b'{"index":{}}\n\n',
            b'{"bogus":{}}\n{}\n',
            b'{"index":{"bogus":1}}\n{}\n',
            b'{"index":3}\n{}\n',
            b'{"update":{"_id":"1"}}\n{"bogus":1}\n',
            b'{"delete":{}}\n',
            b'{"index":{}}\n{"title":"a"} x\n',
            b'{"index":{}}\n[1]\n',
        )
    ),
    *(("PUT", "_mapping", body) for body in (b'{"properties":{"q":{}}}', b'{"properties":3}')),
    ("PUT", "_mapping", b'{"properties":{"title":{"type":"keyword"}}}'),
)


@pytest.fixture(scope="module")
def callers(serve_for_session, elasticsearch) -> Iterator[tuple[tuple[Caller, str], ...]]:
    """A proxy with its index, the upstream with its own."""
    indices = {OURS: MAPPINGS, TWIN: TEXTS}
    with proxy_and_upstream(serve_for_session, elasticsearch.url, "malformed", indices) as (
        proxy,
        direct,
    ):
        yield (proxy, OURS), (direct, TWIN)


def told(answer: Answer) -> tuple[Any, ...]:
    """The status, and the kinds of an error."""
    found = orjson.loads(answer.content)
    error = found.get("error") if isinstance(found, dict) else None
    if not isinstance(error, dict):
        return (answer.status, found.get("errors"))
    return (answer.status, error["type"], *[one["type"] for one in error["root_cause"]])


def same(callers: tuple[tuple[Caller, str], ...], method: str, path: str, body: bytes) -> None:
    ours, theirs = (
        told(send(caller.url, method, f"/{index}/{path}", JSON, body or None))
        for caller, index in callers
    )
    assert ours == theirs


@pytest.mark.parametrize("path", [*SEARCHES, *OTHERS])
@pytest.mark.parametrize("body", NO_JSON)
def test_what_is_no_json(callers, path, body):
    same(callers, "POST", path, body)


@pytest.mark.parametrize("path", SEARCHES)
@pytest.mark.parametrize("body", NO_SEARCH)
def test_what_is_no_search(callers, path, body):
    same(callers, "POST", path, body)


@pytest.mark.parametrize("path", ["_search", "_count", "_explain/1"])
@pytest.mark.parametrize("match", NO_MATCH)
def test_what_is_no_match(callers, path, match):
    same(callers, "POST", path, orjson.dumps({"query": {"match": match}}))


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_what_is_no_document(callers, method, path, body):
    same(callers, method, path, body)
