"""Answers of a `_bulk` that need not be read."""

from __future__ import annotations

import orjson
import pytest

from proxy.semantic.flawless import flawless_items

ITEM = b'{"index":{"_index":"a","_id":"1","result":"created","status":201}}'
OTHER = b'{"delete":{"_index":"a","_id":"\\"status\\":","result":"not_found","status":404}}'


@pytest.mark.parametrize(
    "head",
    [
        b'{"errors":false,"took":12,',
        b'{"took":12,"errors":false,',
        b'{"took":12,"ingest_took":3,"errors":false,',
        b'{"errors":false,"took":12,"ingest_took":3,',
        b'{"errors":false,',
    ],
)
def test_items_stay_as_they_are(head: bytes) -> None:
    found = flawless_items(head + b'"items":[%b,%b]}' % (ITEM, OTHER), 2)
    assert found is not None
    assert found.json == b"%b,%b" % (ITEM, OTHER)
    assert found.count == 2
    assert found.entries() == [orjson.loads(ITEM), orjson.loads(OTHER)]


def test_a_status_that_is_written_as_a_fraction_is_read() -> None:
    found = flawless_items(b'{"errors":false,"items":[%b]}' % ITEM.replace(b"201", b"201.0"), 1)
    assert found is not None
    assert orjson.dumps(found.entries()) == b"[%b]" % ITEM


FAILED = b'{"index":{"_index":"a","_id":"1","status":409,"error":{"type":"a"}}}'
CHANGED = b'{"update":{"_id":"1","status":200,"get":{"_source":{"xinf":{}}}}}'
LESS = b'{"index":{"_id":"1","_shards":{"failures":[{"status":"NOT_FOUND"}]},"status":201}}'


@pytest.mark.parametrize(
    "body",
    [
        b'{"errors":true,"took":1,"items":[%b,%b]}' % (ITEM, FAILED),
        b'{"errors":false,"took":1,"items":[%b,%b]}' % (ITEM, CHANGED),  # with a document
        b'{"errors":false,"took":1,"items":[%b,%b]}' % (ITEM, LESS),  # with copies that failed
        b'{"errors":false,"took":1,"items":[%b]}' % ITEM,  # one is missing
        b'{"errors":false,"took":1,"items":[%b]}' % LESS,  # the same, where a copy failed
        b'{"errors":false,"took":1,"items":[%b,%b,%b]}' % (ITEM, ITEM, ITEM),
        b'{"errors":false,"took":1,"items":[%b,%b' % (ITEM, ITEM),
        b'{"took":1,"items":[%b,%b]}' % (ITEM, ITEM),
        b'{ "errors" : false, "items" : [%b,%b] }' % (ITEM, ITEM),
        b'{"errors":false,"took":1,"items":[]}',
        b"<html></html>",
        b"",
    ],
)
def test_what_has_to_be_read(body: bytes) -> None:
    assert flawless_items(body, 2) is None
