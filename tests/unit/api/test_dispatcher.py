"""The application without an upstream, over real sockets, against a provider of the test's."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import cbor2
import pytest
from aiohttp.test_utils import TestServer
from multidict import CIMultiDict

from proxy.app import make_application
from proxy.config import Config, LimitsConfig, ProviderConfig, StoreConfig, UpstreamConfig
from tests.support.samples import TOKEN
from tests.support.stubs import Call, FaultyServer, Reply, contract_reply, event_reply, json_reply

JSON = {"Content-Type": "application/json"}
TASKS = {
    "text_embedding": "/embed",
    "sparse_embedding": "/sparse",
    "rerank": "/rerank",
    "completion": "/v1/chat/completions",
    "chat_completion": "/v1/chat/completions",
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    headers: CIMultiDict[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        error = self.json["error"]
        return str(error if isinstance(error, str) else error["reason"])

    @property
    def events(self) -> list[tuple[str, Any]]:
        found = []
        for block in self.body.decode().removesuffix("\n\n").split("\n\n"):
            event, data = block.split("\n")
            text = data.removeprefix("data: ")
            found.append(
                (event.removeprefix("event: "), text if text == "[DONE]" else json.loads(text))
            )
        return found


class Proxy:
    """Sends requests byte for byte, one connection each."""

    def __init__(self, server: TestServer, provider: FaultyServer) -> None:
        self.server = server
        self.provider = provider

    async def raw(self, data: bytes) -> Answer | None:
        """What is answered to these bytes; None when the connection ends without an answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        try:
            writer.write(data)
            async with asyncio.timeout(10):
                received = await reader.read()
        finally:
            writer.close()
        if not received:
            return None
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers: CIMultiDict[str] = CIMultiDict()
        for line in lines:
            name, _, value = line.partition(": ")
            headers.add(name, value)
        if headers.get("Transfer-Encoding") == "chunked":
            body = _unchunked(body)
        return Answer(status=int(first.split()[1]), headers=headers, body=body)

    async def __call__(
        self, method: str, target: str, body: Any = None, headers: Any = None
    ) -> Answer:
        data = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        lines = [f"{method} {target} HTTP/1.1", "Host: proxy", "Connection: close"]
        given = dict(headers or {})
        if data and "Content-Type" not in given:
            given |= JSON
        lines += [f"{name}: {value}" for name, value in given.items() if value is not None]
        if data:
            lines.append(f"Content-Length: {len(data)}")
        answer = await self.raw("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        assert answer is not None
        return answer

    async def put(
        self, task: str, name: str = "e1", path: str | None = None, **body: Any
    ) -> Answer:
        url = self.provider.url + (path or TASKS[task])
        settings = {"url": url, "api_key": TOKEN, **body.pop("service_settings", {})}
        body = {"service": "hugging_face", "service_settings": settings, **body}
        answer = await self("PUT", f"/_inference/{task}/{name}", body)
        self.provider.calls.clear()
        return answer

    def provide(self, reply: Reply | Callable[[Call], Reply]) -> None:
        self.provider.answer = reply if callable(reply) else lambda _: reply


def _unchunked(data: bytes) -> bytes:
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        if not int(size, 16):
            return body
        body, data = body + data[: int(size, 16)], data[int(size, 16) + 2 :]
    raise AssertionError(f"cut off after {body!r}")


@asynccontextmanager
async def proxy_with(folder, *, queue_capacity=2000, upstream=None, **limits):
    """An application that keeps its store in `folder`, before a provider that answers properly."""
    config = Config(
        store=StoreConfig(kind=f"sqlite:{folder / 'endpoints.db'}", encryption_key="11" * 32),
        provider=ProviderConfig(
            timeout=5.0,
            retry_initial_delay=0.001,
            retry_max_delay=0.002,
            stream_idle_timeout=5.0,
            queue_capacity=queue_capacity,
        ),
        upstream=UpstreamConfig(url=upstream),
        limits=LimitsConfig(**limits),
        lane=False,
    )
    async with FaultyServer(contract_reply) as provider:
        server = TestServer(make_application(config))
        await server.start_server()
        try:
            yield Proxy(server, provider)
        finally:
            await server.close()


@pytest.fixture
async def proxy(tmp_path):
    async with proxy_with(tmp_path, inference_body=200_000) as proxy:
        yield proxy


class TestEndpoints:
    @pytest.mark.parametrize("task", TASKS)
    async def test_each_task_can_be_put_used_and_deleted(self, proxy, task):
        answer = await proxy.put(task)
        assert answer.status == 200
        shown = answer.json
        assert TOKEN not in answer.body.decode()
        for target in (
            "/_inference/e1",
            f"/_inference/{task}/e1",
            "/_inference/_all",
            "/_inference",
            "/_inference/*",
            f"/_inference/{task}/_all",
        ):
            assert (await proxy("GET", target)).json == {"endpoints": [shown]}
        assert (await proxy("DELETE", "/_inference/e1?dry_run")).json["acknowledged"] is False
        assert (await proxy("DELETE", f"/_inference/{task}/e1?force=true")).json == {
            "acknowledged": True,
            "pipelines": [],
            "indexes": [],
        }
        assert (await proxy("GET", "/_inference/_all")).json == {"endpoints": []}

    async def test_endpoints_are_sorted_and_may_be_of_one_task(self, proxy):
        for name, task in (("b", "rerank"), ("a", "rerank"), ("c", "completion")):
            await proxy.put(task, name)
        everything = (await proxy("GET", "/_inference/_all")).json["endpoints"]
        assert [one["inference_id"] for one in everything] == ["a", "b", "c"]
        some = (await proxy("GET", "/_inference/rerank/*")).json["endpoints"]
        assert [one["inference_id"] for one in some] == ["a", "b"]

    async def test_an_update_changes_the_token_that_is_sent(self, proxy):
        await proxy.put("text_embedding")
        answer = await proxy(
            "PUT", "/_inference/text_embedding/e1/_update", {"service_settings": {"api_key": "new"}}
        )
        assert answer.status == 200
        assert b"new" not in answer.body
        await proxy("POST", "/_inference/e1", {"input": "x"})
        assert proxy.provider.calls[-1].headers["Authorization"] == "Bearer new"

    async def test_a_put_that_is_not_valid_calls_nobody(self, proxy):
        for body in ({}, {"service": "hugging_face"}, {"service": "x"}, {"service": 5}, [1]):
            answer = await proxy("PUT", "/_inference/rerank/e1", body)
            assert answer.status == 400
        assert proxy.provider.calls == []

    async def test_an_endpoint_is_put_once(self, proxy):
        await proxy.put("rerank")
        answer = await proxy.put("completion")
        assert (answer.status, answer.reason) == (400, "Inference endpoint [e1] already exists")

    async def test_services_are_listed_by_task(self, proxy):
        (service,) = (await proxy("GET", "/_inference/_services")).json
        assert service["service"] == "hugging_face"
        assert (await proxy("GET", "/_inference/_services/Rerank")).json == [service]
        assert (
            await proxy("GET", "/_inference/_services/nope")
        ).reason == "Unknown task_type [nope]"
        assert (await proxy("GET", "/_inference/_services?filter_path=name")).json == [
            {"name": "Hugging Face"}
        ]


class TestInference:
    @pytest.mark.parametrize(
        ("task", "body", "result"),
        [
            (
                "text_embedding",
                {"input": ["a"]},
                {"text_embedding": [{"embedding": [0.1, 0.2, 1.0]}]},
            ),
            (
                "sparse_embedding",
                {"input": "a"},
                {
                    "sparse_embedding": [
                        {"is_truncated": False, "embedding": {"tok_a": 0.5, "tok_b": 1.0}}
                    ]
                },
            ),
            (
                "rerank",
                {"input": ["a", "b"], "query": "q", "top_n": 1},
                {"rerank": [{"index": 1, "relevance_score": 0.9}]},
            ),
            ("completion", {"input": "a"}, {"completion": [{"result": "hello world"}]}),
        ],
    )
    async def test_each_task_answers_with_and_without_its_name(self, proxy, task, body, result):
        await proxy.put(task)
        for target in (
            "/_inference/e1",
            f"/_inference/{task}/e1",
            f"/_inference/{task.upper()}/e1",
        ):
            answer = await proxy("POST", target, body)
            assert (answer.status, answer.json) == (200, result)
            assert answer.headers["X-elastic-product"] == "Elasticsearch"

    async def test_with_a_task_the_body_comes_first_and_without_one_the_endpoint(self, proxy):
        assert (await proxy("POST", "/_inference/rerank/nope", b"{x")).status == 400
        assert (await proxy("POST", "/_inference/nope", b"{x")).status == 404

    async def test_chat_is_only_streamed(self, proxy):
        await proxy.put("chat_completion")
        for target in ("/_inference/chat_completion/nope", "/_inference/e1"):
            answer = await proxy("POST", target, b"{x")
            assert answer.json["error"]["type"] == "unified_chat_completion_exception"

    async def test_yaml_and_cbor_are_taken_and_given(self, proxy):
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

    async def test_gzip_is_taken_and_given(self, proxy):
        await proxy.put("text_embedding")
        answer = await proxy(
            "POST",
            "/_inference/e1?filter_path=text_embedding.embedding",
            gzip.compress(b'{"input":"x"}'),
            {**JSON, "Content-Encoding": "gzip", "Accept-Encoding": "gzip"},
        )
        assert answer.headers["content-encoding"] == "gzip"
        assert json.loads(gzip.decompress(answer.body))["text_embedding"]

    async def test_a_body_that_is_too_large_is_refused(self, proxy):
        for body in (b'{"input":"' + b"x" * 300_000 + b'"}', gzip.compress(b" " * 300_000)):
            headers = dict(JSON)
            if body[:1] != b"{":
                headers["Content-Encoding"] = "gzip"
            answer = await proxy("POST", "/_inference/e1", body, headers)
            assert (answer.status, answer.reason) == (413, "request body is too large")

    async def test_a_silent_provider_is_not_waited_for(self, proxy):
        await proxy.put("text_embedding")
        answer = await proxy("POST", "/_inference/e1?timeout=50ms", {"input": "__sleep__"})
        assert answer.status == 429
        assert answer.reason == "Request timed out after [50ms] for inference id [e1]"
        assert answer.json["error"]["timed_out"] is True


class TestStreams:
    async def test_a_completion_is_streamed(self, proxy):
        await proxy.put("completion")
        answer = await proxy("POST", "/_inference/completion/e1/_stream", {"input": "x"})
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.events == [
            ("message", {"completion": [{"delta": "hello"}]}),
            ("message", {"completion": [{"delta": " world"}]}),
            ("message", "[DONE]"),
        ]

    @pytest.mark.parametrize(
        "target", ["/_inference/e1/_stream", "/_inference/chat_completion/e1/_stream"]
    )
    async def test_a_chat_is_streamed(self, proxy, target):
        await proxy.put("chat_completion")
        answer = await proxy("POST", target, {"messages": [{"role": "user", "content": "x"}]})
        assert [event for event, _ in answer.events] == ["message"] * 4
        assert answer.events[0][1]["choices"][0]["delta"] == {"content": "hello"}

    async def test_a_failure_before_the_stream_has_its_status(self, proxy):
        answer = await proxy("POST", "/_inference/completion/nope/_stream", {"input": "x"})
        assert answer.status == 404
        ((event, data),) = answer.events
        assert (event, data["status"]) == ("error", 404)
        answer = await proxy(
            "POST", "/_inference/chat_completion/nope/_stream", {"messages": [{"role": "u"}]}
        )
        assert answer.status == 404
        assert answer.events == [
            (
                "error",
                {
                    "error": {
                        "code": "not_found",
                        "message": "Inference endpoint not found [nope]",
                        "type": "resource_not_found_exception",
                    }
                },
            )
        ]

    async def test_a_failure_in_the_middle_is_the_last_event(self, proxy):
        await proxy.put("completion")
        proxy.provide(
            event_reply('data: {"choices":[{"delta":{"content":"a"}}]}\n\n', fault="reset_after")
        )
        answer = await proxy("POST", "/_inference/e1/_stream", {"input": "x"})
        assert answer.status == 200
        (first, _), (last, data) = answer.events
        assert (first, last, data["status"]) == ("message", "error", 500)

    async def test_other_tasks_are_not_streamed(self, proxy):
        await proxy.put("rerank")
        answer = await proxy("POST", "/_inference/e1/_stream", {"input": "x", "query": "q"})
        assert answer.status == 405
        assert answer.events[0][0] == "error"

    @pytest.mark.parametrize("target", ["/_inference/foo/e1/_stream", "/_inference/e1/_stream?x=1"])
    async def test_what_the_rest_layer_finds_stays_plain(self, proxy, target):
        answer = await proxy("POST", target, {"input": "x"})
        assert answer.status == 400
        assert answer.headers["content-type"] == "application/json"

    async def test_a_caller_that_goes_away_takes_the_providers_stream_along(self, proxy):
        gone = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            writer.write(b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n')
            while await reader.read(1000):
                pass
            gone.set()
            writer.close()

        await proxy.put("completion")
        slow = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = slow.sockets[0].getsockname()[1]
        proxy.provide(contract_reply)
        body = {
            "service": "hugging_face",
            "service_settings": {"url": f"http://127.0.0.1:{port}/", "api_key": TOKEN},
        }
        # The try of a PUT reads a whole answer: make the endpoint elsewhere, then look here.
        data = json.dumps({"messages": [{"role": "user"}]}).encode()
        answer = await proxy("PUT", "/_inference/chat_completion/slow", body)
        assert answer.status == 200
        gone.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.server.port)
        writer.write(
            b"POST /_inference/slow/_stream HTTP/1.1\r\nHost: x\r\nContent-Type: application/json"
            b"\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data)
        )
        async with asyncio.timeout(5):
            assert b"200 OK" in await reader.readline()
            writer.close()
            await gone.wait()
        slow.close()


class TestConventions:
    async def test_head_and_options(self, proxy):
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
    async def test_a_wrong_method_is_told_the_right_ones(self, proxy, method, target, allowed):
        answer = await proxy(method, target)
        assert (answer.status, answer.headers["Allow"]) == (405, allowed)
        assert answer.reason.endswith(f"allowed: [{allowed.replace(',', ', ')}]")

    @pytest.mark.parametrize("target", ["/_inference/a/b/c", "/_inference/.diagnostics"])
    async def test_a_path_that_leads_nowhere(self, proxy, target):
        answer = await proxy("GET", target)
        assert answer.status == 400
        assert answer.json == {"error": f"no handler found for uri [{target}] and method [GET]"}

    async def test_ids_in_the_query_fill_the_path(self, proxy):
        await proxy.put("rerank")
        assert (await proxy("GET", "/_inference/rerank?inference_id=e1")).status == 200
        assert (await proxy("GET", "/_inference/foo?inference_id=e1")).reason == (
            "Unknown task_type [foo]"
        )
        assert (await proxy("GET", "/_inference//e1")).reason == "Unknown task_type []"
        assert (await proxy("GET", "/_inference/rerank/e1//")).status == 200

    async def test_checks_come_in_order(self, proxy):
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

    async def test_a_trace_is_shown_on_request(self, proxy):
        answer = await proxy("GET", "/_inference/nope?error_trace")
        error = answer.json["error"]
        assert "Inference endpoint not found [nope]" in error["stack_trace"]
        assert error["root_cause"][0]["stack_trace"]

    async def test_the_callers_own_id_comes_back(self, proxy):
        for target in ("/_inference/_all", "/_inference/nope", "/_inference/a/b/c"):
            answer = await proxy("GET", target, headers={"X-Opaque-Id": "mine"})
            assert answer.headers["X-Opaque-Id"] == "mine"

    async def test_aiohttp_adds_nothing(self, proxy):
        for target in ("/_inference/_all", "/_inference/nope"):
            answer = await proxy("GET", target)
            assert not {"Server", "Date"} & {name.title() for name in answer.headers}

    async def test_other_paths_have_no_upstream(self, proxy):
        answer = await proxy("GET", "/_cluster/health")
        assert answer.status == 503
        assert "no upstream is configured" in answer.reason


class TestHostileBytes:
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
    async def test_any_target_is_answered(self, proxy, target):
        answer = await proxy.raw(
            b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        assert answer is not None
        assert 400 <= answer.status < 500
        assert answer.reason

    @pytest.mark.parametrize("target", [b"/_inference/\xff", b"/_inference/\xc3\xbc", b"/x?\xff"])
    async def test_a_target_that_is_none_is_refused(self, proxy, target):
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
    async def test_any_header_is_answered(self, proxy, header):
        answer = await proxy.raw(
            b"GET /_inference/nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            + header
            + b"\r\n\r\n"
        )
        assert answer is not None
        assert 400 <= answer.status < 500

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
    async def test_any_body_is_answered(self, proxy, kind, body, target):
        method, _, path = target.partition(" ")
        answer = await proxy(method, path, body, {"Content-Type": f"application/{kind}"})
        assert 400 <= answer.status < 500
        assert answer.body

    async def test_an_unhandled_error_is_told_without_its_text(self, proxy, caplog):
        """Nothing is known to raise one; a store that breaks its promise stands for it."""
        from proxy.app import _API

        service = proxy.server.app[_API]._service
        service._store = None
        with caplog.at_level(logging.ERROR):
            answer = await proxy("GET", "/_inference/x?pretty", headers={"X-Opaque-Id": "mine"})
        assert (answer.status, answer.reason) == (500, "internal error")
        assert answer.headers["X-Opaque-Id"] == "mine"
        assert "unhandled error" in caplog.text


class TestTokens:
    @pytest.mark.parametrize(
        "body",
        [
            {"service": "hugging_face", "api_key": TOKEN, "service_settings": {"url": "http://h/"}},
            {"service": "hugging_face", "service_settings": {"api_key": TOKEN}},
            {"service": "x", "service_settings": {"api_key": TOKEN}},
            {"service": {"api_key": TOKEN}},
            {
                "service": "hugging_face",
                "service_settings": {"url": "http://a b", "api_key": TOKEN},
            },
            {
                "service": "hugging_face",
                "service_settings": {"url": "http://127.0.0.1:1/", "api_key": TOKEN},
            },
            {
                "service": "hugging_face",
                "task_settings": {"api_key": TOKEN},
                "service_settings": {"url": "http://h/", "api_key": "x"},
            },
        ],
    )
    async def test_a_refused_put_neither_shows_nor_logs_it(self, proxy, caplog, body):
        caplog.set_level(logging.DEBUG, logger="proxy")
        for target in ("/_inference/rerank/x", "/_inference/rerank/x/_update"):
            answer = await proxy("PUT", f"{target}?error_trace", body)
            assert answer.status >= 400
            assert TOKEN not in answer.body.decode()
        assert TOKEN not in caplog.text

    async def test_a_provider_that_repeats_it_does_not_show_it(self, proxy, caplog):
        caplog.set_level(logging.DEBUG, logger="proxy")
        for task in TASKS:
            assert (await proxy.put(task, f"e-{task.replace('_', '-')}")).status == 200
        for reply in (
            json_reply({"error": f"bad {TOKEN}"}, 401),
            json_reply({"error": {"message": TOKEN}}, 500),
            Reply(body=TOKEN.encode()),
            event_reply(f"data: {TOKEN}\n\n"),
            event_reply(f'data: {{"error":{{"message":"{TOKEN}"}}}}\n\n'),
        ):
            proxy.provide(reply)
            for task in TASKS:
                name = f"e-{task.replace('_', '-')}"
                body: Any = {"input": "x"} | ({"query": "q"} if task == "rerank" else {})
                if task == "chat_completion":
                    body = {"messages": [{"role": "user"}]}
                suffix = "/_stream" if "completion" in task else ""
                answer = await proxy("POST", f"/_inference/{name}{suffix}", body)
                assert TOKEN not in answer.body.decode()
        assert TOKEN not in caplog.text

    async def test_a_malformed_put_does_not_quote_it(self, proxy):
        body = f'{{"service":"hugging_face","service_settings":{{"api_key":"{TOKEN}",}}}}'
        answer = await proxy("PUT", "/_inference/rerank/x", body.encode())
        assert answer.status == 400
        assert TOKEN not in answer.body.decode()

    async def test_what_is_stored_is_sealed(self, proxy, tmp_path):
        await proxy.put("rerank")
        for path in tmp_path.iterdir():
            assert TOKEN.encode() not in path.read_bytes()
