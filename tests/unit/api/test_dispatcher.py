"""The order of checks, and requests that no handler sees, over real sockets."""

from __future__ import annotations

import pytest


async def test_head_and_options(proxy):
    answer = await proxy("HEAD", "/_inference/x")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET,POST,PUT,DELETE")
    assert answer.body == b""
    assert int(answer.headers["Content-Length"]) > 0
    answer = await proxy("OPTIONS", "/_inference/x/_stream")
    assert (answer.status, answer.headers["Allow"], answer.body) == (200, "POST", b"")
    assert answer.headers["content-type"] == "text/plain; charset=UTF-8"
    answer = await proxy("OPTIONS", "/_inference/a/b/c")
    assert (answer.status, answer.headers.get("Allow"), answer.body) == (200, None, b"")


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("PATCH", "/_inference/x", "GET,POST,PUT,DELETE"),
        ("POST", "/_inference", "GET"),
        ("PUT", "/_inference/_all", "GET"),
        ("DELETE", "/_inference/_services", "GET"),
        ("GET", "/_inference/x/_stream", "POST"),
        ("POST", "/_inference/x/y/_update", "PUT"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(proxy, method, target, allowed):
    answer = await proxy(method, target)
    assert (answer.status, answer.headers["Allow"]) == (405, allowed)
    assert answer.reason.endswith(f"allowed: [{allowed.replace(',', ', ')}]")


@pytest.mark.parametrize("target", ["/_inference/a/b/c", "/_inference/.diagnostics"])
async def test_a_path_that_leads_nowhere(proxy, target):
    answer = await proxy("GET", target)
    assert answer.status == 400
    assert answer.json == {"error": f"no handler found for uri [{target}] and method [GET]"}


async def test_checks_come_in_order(proxy):
    order = [
        ("PUT", "/_inference/a/b/c?timeot=1", b"{x", "no handler found"),
        ("PATCH", "/_inference/x?timeot=1", b"{x", "Incorrect HTTP method"),
        ("PUT", "/_inference/foo/BAD?timeout=x&timeot=1", b"", "Unknown task_type [foo]"),
        ("PUT", "/_inference/rerank/BAD?timeout=x&timeot=1", b"", "request body is required"),
        ("PUT", "/_inference/rerank/BAD?timeout=x&timeot=1", b"{x", "failed to parse setting"),
        (
            "PUT",
            "/_inference/rerank/BAD?timeot=1",
            b"{x",
            "unrecognized parameter: [timeot] ->",
        ),
        ("PUT", "/_inference/rerank/BAD", b"{x", "Invalid inference_id"),
        ("PUT", "/_inference/rerank/ok", b"{x", "Unexpected character"),
        ("GET", "/_inference/rerank/x?a", b"{}", "unrecognized parameter: [a]"),
        ("GET", "/_inference/rerank/x", b"{}", "does not support having a body"),
    ]
    for method, target, body, reason in order:
        answer = await proxy(method, target, body)
        assert reason in answer.reason, target


async def test_other_paths_have_no_upstream(proxy):
    answer = await proxy("GET", "/_cluster/health")
    assert answer.status == 503
    assert "no upstream is configured" in answer.reason


@pytest.mark.parametrize(
    "target",
    [
        b"/_inference/%ff",
        b"/_inference/%00",
        b"/_inference/%ed%a0%80",
        b"/_inference/x?filter_path=" + b"**." * 2000,
        b"/_inference/" + b"a" * 60_000,
        b"/_inference/x?" + b"&".join(b"p%d" % n for n in range(5000)),
    ],
)
async def test_any_target_is_answered(proxy, target):
    answer = await proxy.raw(
        b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    assert answer is not None
    assert 400 <= answer.status < 500
    assert answer.reason


@pytest.mark.parametrize("target", [b"/_inference/\xff", b"/_inference/\xc3\xbc", b"/x?\xff"])
async def test_a_target_that_is_none_is_refused(proxy, target):
    answer = await proxy.raw(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer is not None
    assert answer.status == 400


@pytest.mark.parametrize(
    "header",
    [
        b"X-Opaque-Id: \xff",
        b"X-Opaque-Id: \xc3\xbc",
        b"Accept: \xff/\xff",
        b"Accept: \xc3\xbc",
        b"Accept: application/json;a=\xff",
        b"Content-Type: \xff",
        b"Accept-Encoding: \xff",
        b"Authorization: \xff",
        b"Accept: " + b"," * 1000,
        b"Accept: application/vnd.elasticsearch+json;compatible-with=" + b"9" * 5000,
    ],
)
async def test_any_header_is_answered(proxy, header):
    answer = await proxy.raw(
        b"GET /_inference/nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + header + b"\r\n\r\n"
    )
    assert answer is not None
    assert 400 <= answer.status < 500
