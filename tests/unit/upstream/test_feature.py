"""Requests that are not ours, before an upstream with or without an inference feature."""

from __future__ import annotations

import gzip

import orjson
import pytest

from proxy.upstream.feature import lacks_inference
from tests.support.forwarding import World
from tests.support.peers import MIB, noise

INVALID_NAME = {
    "type": "invalid_index_name_exception",
    "reason": "Invalid index name [_inference], must not start with '_'.",
    "index_uuid": "_na_",
    "index": "_inference",
}
NOT_FOUND = {
    "type": "index_not_found_exception",
    "reason": "no such index [_inference]",
    "resource.type": "index_expression",
    "resource.id": "_inference",
    "index_uuid": "_na_",
    "index": "_inference",
}
# Answers of Elasticsearch 9.2.4, 8.19.8 and 7.17.9 without the inference plugin.
LACKING = [
    b'{"error":"no handler found for uri [/_inference/x] and method [GET]"}',
    b'{"error":"Incorrect HTTP method for uri [/_inference/x] and method [GET], allowed: [POST]",'
    b'"status":405}',
    orjson.dumps({"error": {"root_cause": [INVALID_NAME], **INVALID_NAME}, "status": 400}),
    orjson.dumps({"error": {"root_cause": [NOT_FOUND], **NOT_FOUND}, "status": 404}),
    b'---\nerror: "no handler found for uri [/_inference/x] and method [GET]"\n',
]
RESOURCE = {"type": "resource_not_found_exception", "reason": "Inference endpoint not found [x]"}
HAVING = [
    orjson.dumps({"error": {"root_cause": [RESOURCE], **RESOURCE}, "status": 404}),
    orjson.dumps({"error": {**NOT_FOUND, "index": "other"}, "status": 404}),
    b'{"error":"Content-Type header [] is not supported","status":406}',
    b'["no handler found for uri [/_inference/x]"]',
    b"not JSON",
    b"",
]


@pytest.mark.parametrize("body", LACKING)
def test_what_tells_that_there_is_no_inference_feature(body):
    assert lacks_inference(body, None)
    assert lacks_inference(gzip.compress(body), "gzip")


@pytest.mark.parametrize("body", HAVING)
def test_what_does_not_tell_it(body):
    assert not lacks_inference(body, None)
    assert not lacks_inference(body, "gzip")


def inference_request(mode: bytes, body: bytes) -> bytes:
    head = b"PUT /_inference/x HTTP/1.1\r\nHost: es\r\nX-Mode: %b\r\nContent-Length: %d\r\n\r\n"
    return head % (mode, len(body)) + body


async def answered(world: World, request: bytes, status: bytes, body: bytes) -> bytes:
    caller = await world.caller()
    await caller.send(request)
    peer = await world.accept()
    await peer.head()
    head = b"HTTP/1.1 %b\r\ncontent-length: %d\r\nConnection: close\r\n\r\n"
    await peer.send(head % (status, len(body)) + body)
    await peer.close()
    head = await caller.head()
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return head.split(b" ", 2)[1] + b" " + await caller.read(length)


async def test_the_handler_learns_that_the_upstream_has_no_inference_feature(world):
    request = inference_request(b"inference", b"{}")
    for body in LACKING:
        assert (await answered(world, request, b"400 Bad Request", body)).startswith(b"299 ")
    # The same words in an answer of another status mean nothing.
    answer = await answered(world, request, b"200 OK", LACKING[0])
    assert answer == b"200 " + LACKING[0]


async def test_other_answers_are_passed_on_whole(world):
    request = inference_request(b"inference", b"{}")
    for body in (*HAVING, b"x" * 300_000):
        answer = await answered(world, request, b"404 Not Found", body)
        assert answer == b"404 " + body


@pytest.mark.parametrize("size", [0, 2, 3 * MIB])
async def test_a_body_that_was_read_is_sent_all_the_same(world, size):
    body = noise(size)
    caller = await world.caller()
    await caller.send(inference_request(b"read", body))
    peer = await world.accept()
    assert b"\r\nContent-Length: %d\r\n" % size in await peer.head()
    assert await peer.read(size) == body
    assert world.fetched == body
