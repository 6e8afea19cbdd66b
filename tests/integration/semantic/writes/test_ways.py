"""However a document is sent, Elasticsearch gets it with its vectors, or not at all."""

from __future__ import annotations

import gzip
from typing import Final

import orjson
import pytest

from tests.integration.semantic.writes.site import Site, lines
from tests.support.rawhttp import send

PREFIX = "ww-"  # of the names that only these tests use
DOCUMENT: Final = b'{"body":"the tide"}'
SMILE: Final = b":)\n\x00\xfa\x83body\x47the tide\xfb"
ITEM: Final = lines({"index": {}}, {"body": "the tide"})
NAMED: Final = lines({"index": {"_index": "ww-a"}}, {"body": "the tide"})
JSON, NDJSON = "application/json", "application/x-ndjson"
FILLED: Final = [
    ("/ww-a/_doc", "application/*", DOCUMENT),
    ("/ww-a/_doc", "APPLICATION/*; charset=utf-8", DOCUMENT),
    ("/ww-a/_doc", "application/cbor", b"\xbfdbodyhthe tide\xff"),
    ("/ww-a/_doc", "application/yaml", b"body: the tide\n"),
    ("/ww-a/_doc/", JSON, DOCUMENT),
    ("/ww%2Da/_doc", JSON, DOCUMENT),
    ("/ww-alias/_create/1", JSON, b"/* a comment */" + DOCUMENT),
    ("/ww-a/_update/1", JSON, b'{"doc":{"body":"the tide"},"doc_as_upsert":true}'),
    ("/_bulk", "application/*", NAMED),
    ("/_bulk?index=ww-a", NDJSON, ITEM),
    ("/_bulk?index=ww-alias&pretty", NDJSON, ITEM),
    ("/ww-a/_bulk?index=ww-plain", NDJSON, ITEM),
    ("/_bulk", NDJSON, b'{"index":{"\\u005findex":"ww-a"}}\n{"\\u0062ody":"the tide"}\n'),
]
REFUSED: Final = [
    ("/ww-a/_doc", "application/smile", SMILE, 406),
    ("/ww-a/_bulk", "application/smile", SMILE, 406),
    ("/_bulk", "application/smile", SMILE, 406),
    ("/_reindex", "application/smile", SMILE, 406),
    ("/ww-a/_update_by_query", "application/smile", SMILE, 406),
    ("/ww-a/_doc", "text/plain", DOCUMENT, 406),
    ("/ww-a/_doc", JSON, b'{"body":"a","body":"the tide"}', 400),
    ("/ww-a/_update/1", JSON, b'{"doc":{},"doc":{"body":"a"},"doc_as_upsert":true}', 400),
    ("/ww-a/words/1", JSON, DOCUMENT, 400),
]


def _stored(site: Site) -> list[dict[str, object]]:
    site.ok("POST", "/ww-a/_refresh", base=site.upstream)
    hits = site.ok("GET", "/ww-a/_search", base=site.upstream)["hits"]["hits"]
    return [hit["_source"] for hit in hits]


@pytest.mark.parametrize(("target", "kind", "body"), FILLED)
def test_it_has_its_vectors(site: Site, target: str, kind: str, body: bytes) -> None:
    site.make("ww-a", aliases={"ww-alias": {}})
    answer = send(site.proxy, "POST", target, [("Content-Type", kind)], body)
    assert answer.status in (200, 201), answer.text
    (source,) = _stored(site)
    assert "xinf" in source


def test_an_encoded_body_has_its_vectors(site: Site) -> None:
    site.make("ww-a")
    headers = [("Content-Type", NDJSON), ("Content-Encoding", "gzip")]
    assert send(site.proxy, "POST", "/_bulk", headers, gzip.compress(NAMED)).status == 200
    (source,) = _stored(site)
    assert "xinf" in source


@pytest.mark.parametrize(("target", "kind", "body", "status"), REFUSED)
def test_it_is_refused(site: Site, target: str, kind: str, body: bytes, status: int) -> None:
    site.make("ww-a")
    answer = send(site.proxy, "POST", target, [("Content-Type", kind)], body)
    assert answer.status == status, answer.text
    assert "error" in orjson.loads(answer.content)
    assert _stored(site) == []


def test_a_bulk_with_a_key_twice_fails_alone(site: Site) -> None:
    site.make("ww-a")
    twice = b'{"doc":{},"doc":{"body":"a"},"doc_as_upsert":true}'
    answer = site.bulk(
        {"update": {"_index": "ww-a", "_id": "1"}},
        twice,
        {"index": {"_index": "ww-a", "_id": "2"}},
        {"body": "the tide"},
    )
    assert [one["status"] for item in answer["items"] for one in item.values()] == [400, 201]
    (source,) = _stored(site)
    assert "xinf" in source
