"""Bodies of every format and coding, over real sockets."""

from __future__ import annotations

import gzip
import json

import cbor2
import pytest

from tests.support.stubs import JSON


async def test_yaml_and_cbor_are_taken_and_given(proxy):
    await proxy.put("text_embedding")
    answer = await proxy(
        "POST", "/_inference/e1", b"input: x", {"Content-Type": "application/yaml"}
    )
    assert answer.body.decode().startswith("---\ntext_embedding:\n- embedding:\n")
    answer = await proxy(
        "POST",
        "/_inference/e1",
        cbor2.dumps({"input": ["x"]}),
        {"Content-Type": "application/cbor"},
    )
    assert cbor2.loads(answer.body) == {"text_embedding": [{"embedding": [0.1, 0.2, 1.0]}]}


async def test_gzip_is_taken_and_given(proxy):
    await proxy.put("text_embedding")
    answer = await proxy(
        "POST",
        "/_inference/e1?filter_path=text_embedding.embedding",
        gzip.compress(b'{"input":"x"}'),
        {**JSON, "Content-Encoding": "gzip", "Accept-Encoding": "gzip"},
    )
    assert answer.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(answer.body))["text_embedding"]


async def test_a_body_that_is_too_large_is_refused(proxy):
    for body in (b'{"input":"' + b"x" * 300_000 + b'"}', gzip.compress(b" " * 300_000)):
        headers = dict(JSON)
        if body[:1] != b"{":
            headers["Content-Encoding"] = "gzip"
        answer = await proxy("POST", "/_inference/e1", body, headers)
        assert (answer.status, answer.reason) == (413, "request body is too large")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("json", b'{"input":"\xff"}'),
        ("json", rb'{"input":"\ud800"}'),
        ("json", rb'{"\ud800":1}'),
        ("json", b'{"' + b"a" * 100_000 + b'":1}'),
        ("json", b'{"input":"' + b"a" * 100_000),
        ("json", b"[" * 100_000),
        ("json", b'{"input":"x","task_settings":{"a":' + b"9" * 999 + b"}}"),
        ("json", b'{"input":"x","top_n":1e400}'),
        ("yaml", rb'input: "\uD800"'),
        ("yaml", rb'"\uD800": 1'),
        ("yaml", b"a: !!bool x"),
        ("yaml", b"? [a]\n: b"),
        ("yaml", b"[" * 50_000),
        ("yaml", b"input: \xff"),
        ("cbor", b"\xff"),
        ("cbor", b"\x81" * 5000 + b"\x00"),
        ("cbor", cbor2.dumps({"a": 10**5000})),
        ("cbor", cbor2.dumps({"input": b"x"})),
    ],
)
@pytest.mark.parametrize(
    "target",
    [
        "PUT /_inference/rerank/x",
        "POST /_inference/rerank/x",
        "POST /_inference/chat_completion/x/_stream",
        "PUT /_inference/rerank/x/_update",
    ],
)
async def test_any_body_is_answered(proxy, kind, body, target):
    method, _, path = target.partition(" ")
    answer = await proxy(method, path, body, {"Content-Type": f"application/{kind}"})
    assert 400 <= answer.status < 500
    assert answer.body
