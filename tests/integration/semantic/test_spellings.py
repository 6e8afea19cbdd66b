"""However a request names an index with semantic fields, the layer sees that it does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

import cbor2
import orjson
import pytest

from tests.support.layer import HIDDEN, MAPPINGS, TEXTS, Caller, is_filled, proxy_and_upstream
from tests.support.rawhttp import Answer, send

OURS: Final = "spelled-ours"
PLAIN: Final = "spelled-plain"
DOC: Final = {"_index": OURS, "_id": "1"}
SMILE: Final = "application/smile"
# `{"docs":[{"_index":"spelled-ours","_id":"1","_source":true}]}`, and a search of `{}` there.
SMILE_DOCS: Final = (
    b":)\n\x00\xfa\x83docs\xf8\xfa\x85_index\x4bspelled-ours\x82_id\x401\x86_source\x23\xfb\xf9\xfb"
)
SMILE_ITEM: Final = (
    b":)\n\x00\xfa\x84index\xfa\x85_index\x4bspelled-ours\xfb\xfb\xff"
    b":)\n\x00\xfa\x83body\x44a sun\xfb\xff"
)
SMILE_SEARCHES: Final = b":)\n\x00\xfa\x84index\x4bspelled-ours\xfb\xff:)\n\x00\xfa\xfb\xff"


@pytest.fixture(scope="module")
def callers(serve_for_session, elasticsearch) -> Iterator[tuple[Caller, Caller]]:
    """A proxy that knows which index is plain, and the upstream."""
    indices = {OURS: MAPPINGS, PLAIN: TEXTS}
    with proxy_and_upstream(serve_for_session, elasticsearch.url, "spelled", indices) as found:
        yield found


@pytest.fixture(autouse=True)
def known(callers: tuple[Caller, Caller]) -> None:
    """The plain index has been looked up, so that requests that name it stay in the lane."""
    callers[0].ok("GET", f"/{PLAIN}/_search")


def lines(*parts: Any) -> bytes:
    return b"".join(
        part if isinstance(part, bytes) else orjson.dumps(part) + b"\n" for part in parts
    )


def sent(caller: Caller, method: str, target: str, body: bytes, kind: str) -> Answer:
    return send(caller.url, method, target, [("Content-Type", kind)], body or None)


def in_url(body: bytes) -> str:
    return f"source={quote(body)}&source_content_type=application/json"


DOCS: Final = orjson.dumps({"docs": [DOC]})
OF_OURS: Final = {"query": {"term": {"_index": OURS}}}  # beside indices of other tests
SEARCHES: Final = lines({"index": OURS}, {})
READS: Final = [
    ("/_mget", orjson.dumps({"docs": [{**DOC, "_index": [OURS]}]})),
    (f"/_mget?index={OURS}", orjson.dumps({"ids": ["1"]})),
    ("//_mget", DOCS),
    (f"/{PLAIN}/_mget", DOCS),
    (f"/{PLAIN}/_mget", b" " * 70_000 + DOCS),
    (f"/{PLAIN}/_mget/", DOCS.replace(b"_index", b"\\u005findex")),
    (f"/{PLAIN}/_mget", DOCS.decode().encode("utf-16")),
    (f"/{PLAIN}/_mget?{in_url(DOCS)}", b""),
    (f"/{PLAIN}/_mget?{in_url(DOCS).replace('source=', '%73ource=')}", b""),
    (f"/{PLAIN}/_msearch", SEARCHES),
    (f"/{PLAIN}/_msearch", lines({"indices": [OURS]}, {})),
    (f"/{PLAIN}/_msearch", lines({"index": ""}, OF_OURS)),
    (f"/{PLAIN}/_msearch?{in_url(SEARCHES)}", b""),
    ("//_msearch", lines({}, OF_OURS)),
    ("/_msearch", SEARCHES + b"\n"),
    ("/_msearch", SEARCHES + lines({"index": OURS})),
    ("/_msearch", lines(b"null\n", OF_OURS)),
    ("//_search", orjson.dumps(OF_OURS)),
    ("/_ingest/_simulate", orjson.dumps({"docs": [{**DOC, "_source": {}}]})),
    ("//_field_caps?fields=x*", b""),
]


@pytest.mark.parametrize(("target", "body"), READS)
def test_nothing_of_ours_shows(callers: tuple[Caller, Caller], target: str, body: bytes):
    proxy, direct = callers
    answer = sent(proxy, "POST" if body else "GET", target, body, "application/json")
    expected = sent(direct, "POST" if body else "GET", target, body, "application/json")
    assert HIDDEN not in answer.text
    assert answer.status == expected.status == 200
    assert HIDDEN in expected.text


@pytest.mark.parametrize("name", ["/_mget", f"/{PLAIN}/_mget"])
def test_documents_are_named_in_cbor(callers: tuple[Caller, Caller], name: str):
    body = cbor2.dumps({"docs": [{**DOC, "_source": ["*"]}]})
    answer = sent(callers[0], "POST", name, body, "application/cbor")
    (found,) = cbor2.loads(answer.content)["docs"]
    assert found["_source"] == {"body": "a moon"}


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/_mget", SMILE_DOCS),
        (f"/{PLAIN}/_mget", SMILE_DOCS),
        ("/_msearch", SMILE_SEARCHES),
        (f"/{PLAIN}/_msearch", SMILE_SEARCHES),
    ],
)
def test_what_only_the_upstream_can_read_is_refused(
    callers: tuple[Caller, Caller], target: str, body: bytes
):
    proxy, direct = callers
    assert HIDDEN.encode() in sent(direct, "POST", target, body, SMILE).content
    answer = sent(proxy, "POST", target, body, SMILE)
    assert answer.status == 406
    assert HIDDEN not in answer.text


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("&format=smile", []),
        ("&format=SMILE", [("Accept", "application/json")]),
        ("", [("Content-Type", SMILE)]),
        ("", [("Accept", SMILE)]),
        ("", [("Accept", "*/*"), ("Content-Type", SMILE)]),
    ],
)
def test_no_answer_is_in_a_form_in_which_nothing_can_be_hidden(
    callers: tuple[Caller, Caller], query: str, headers: list[tuple[str, str]]
):
    proxy, direct = callers
    target = f"/{OURS}/_stats?fields=*{query}"
    assert HIDDEN.encode() in send(direct.url, "GET", target, headers).content
    answer = send(proxy.url, "GET", target, headers)
    assert answer.status == 200
    assert HIDDEN.encode() not in answer.content


def test_a_search_among_many_is_translated_though_a_line_follows(callers: tuple[Caller, Caller]):
    query = {"query": {"semantic": {"field": "body", "query": "moon"}}}
    body = lines({"index": OURS}, query) + b"\n"
    answer = sent(callers[0], "POST", f"/{PLAIN}/_msearch", body, "application/x-ndjson")
    (found,) = orjson.loads(answer.content)["responses"]
    assert [hit["_id"] for hit in found["hits"]["hits"]][:1] == ["1"]


ITEM: Final = lines({"index": {"_index": OURS, "_id": "new"}}, {"body": "a sun"})
WRITES: Final = [
    ("POST", f"/{PLAIN}/_bulk", ITEM),
    ("PUT", f"/{PLAIN}/_bulk/", ITEM.replace(b"_index", b"\\u005findex")),
    ("POST", f"/{PLAIN}/_bulk", ITEM + lines({"index": {"_id": "n"}}, {"n": "x" * 70_000})),
    ("POST", "//_bulk", ITEM),
    *(  # which are no indices, and take what names one
        ("POST", f"/{name}/_bulk", ITEM)
        for name in ("_cat", "_nodes", "_tasks", "_mapping", "_template", "_cluster", "_search")
    ),
    ("POST", f"/{OURS}/_doc?id=new", b'{"body":"a sun"}'),
    ("POST", f"/_bulk?index={OURS}", ITEM.replace(b'"_index":"spelled-ours",', b"")),
    ("PUT", f"/{OURS}/_doc/new?version=%2B5&version_type=external", b'{"body":"a sun"}'),
    ("PUT", f"/{OURS}/_doc/new?version={'0' * 20}5&version_type=external", b'{"body":"a sun"}'),
    ("PUT", f"/{OURS}/_doc/new?version=%D9%A5&version_type=external", b'{"body":"a sun"}'),
    (
        "POST",
        f"/{OURS}/_update/new?retry_on_conflict=%2B3",
        b'{"doc":{"body":"a sun"},"doc_as_upsert":true}',
    ),
    *(
        ("PUT", f"/{OURS}/_doc/new", '{"body":"a sun \\u00e9"}'.encode(codec))
        for codec in ("utf-16", "utf-16-be", "utf-32-le")
    ),
]


@pytest.mark.parametrize(("method", "target", "body"), WRITES)
def test_a_document_has_its_vectors(
    callers: tuple[Caller, Caller], method: str, target: str, body: bytes
):
    proxy, direct = callers
    direct("DELETE", f"/{OURS}")
    proxy.ok("PUT", f"/{OURS}", {"mappings": MAPPINGS})
    answer = sent(proxy, method, target, body, "application/json")
    assert answer.status < 300, answer.text
    assert is_filled(direct, OURS, "new")
    proxy.ok("PUT", f"/{OURS}/_doc/1?refresh=true", {"body": "a moon"})


def test_a_half_of_a_character_names_no_index(callers: tuple[Caller, Caller]):
    body = b'{"index":"x\\ud800,spelled-ours","ignore_unavailable":true}\n{}\n'
    answer = sent(callers[0], "POST", "/_msearch", body, "application/json")
    assert HIDDEN not in answer.text
    (found,) = json.loads(answer.content)["responses"]
    assert {hit["_index"] for hit in found["hits"]["hits"]} == {OURS}


@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream"])
@pytest.mark.parametrize("path", [f"/{OURS}/_search", "/_msearch", "/_mget"])
def test_a_type_that_the_upstream_does_not_take_is_refused(
    callers: tuple[Caller, Caller], path: str, kind: str
):
    body = {"/_msearch": SEARCHES, "/_mget": DOCS}.get(path, b"{}")
    answer, expected = (sent(one, "POST", path, body, kind) for one in callers)
    assert answer.status == expected.status == 406
    assert answer.text == expected.text


@pytest.mark.parametrize("name", ["1e3", "true", "1.50"])
@pytest.mark.parametrize("path", ["/_bulk", f"/{PLAIN}/_bulk"])
def test_an_index_is_named_by_a_number(callers: tuple[Caller, Caller], name: str, path: str):
    proxy, direct = callers
    proxy.ok("PUT", f"/{name}", {"mappings": MAPPINGS})
    try:
        body = b'{"index":{"_index":%b,"_id":"1"}}\n{"body":"a sun"}\n' % name.encode()
        answer = sent(proxy, "POST", path, body, "application/json")
        assert orjson.loads(answer.content)["errors"] is False
        assert is_filled(direct, name, "1")
    finally:
        direct.ok("DELETE", f"/{name}")


def test_documents_in_smile_go_where_they_say(callers: tuple[Caller, Caller]):
    proxy, _ = callers
    target = f"/{PLAIN}/_bulk"
    assert sent(proxy, "POST", target, SMILE_ITEM, SMILE).status == 406
    plain = SMILE_ITEM.replace(b"\x85_index\x4bspelled-ours", b"")
    answer = sent(proxy, "POST", target, plain, SMILE)
    assert answer.status == 200
    assert PLAIN.encode() in answer.content
