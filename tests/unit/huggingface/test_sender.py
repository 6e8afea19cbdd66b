"""Calls that fail, and what becomes of them."""

from __future__ import annotations

import asyncio
import time

import pytest

from proxy.limits.deadline import NO_DEADLINE
from tests.support.huggingface import SEND, answering, failing
from tests.support.samples import ID, make_endpoint
from tests.support.stubs import Call, Reply, json_reply


class TestFailures:
    async def test_a_failure_that_passes_is_tried_again(self):
        replies = [json_reply({"error": "busy"}, 503), json_reply([0.1]), json_reply([[1]])]
        async with answering(replies) as provider:
            assert await provider.embed("x") == [[1.0]]
        assert len(provider.waits) == 2

    async def test_three_attempts_are_made(self):
        async with answering(json_reply({"error": "loading", "estimated_time": 20.0}, 503)) as it:
            error = await failing(it.embed("x"))
        assert len(it.calls) == 3
        assert error.reason == (
            f"Received a rate limit status code {ID} status [503]. Error message: [loading]"
        )

    @pytest.mark.parametrize("seconds", ["7", "7.5", "7."])
    async def test_a_wait_that_is_asked_for_is_kept(self, seconds):
        replies = [json_reply({}, 503, headers={"Retry-After": seconds}), json_reply([[1]])]
        async with answering(replies) as provider:
            await provider.embed("x")
        assert provider.waits == [float(seconds)]

    @pytest.mark.parametrize("ask", ["embed", "complete", "deltas"])
    async def test_a_limit_that_one_call_meets_holds_the_others_back(self, ask):
        times: list[float] = []

        def answer(call: Call) -> Reply:
            times.append(time.monotonic())
            if len(times) == 1:
                return json_reply({}, 429, headers={"Retry-After": "0.4"})
            return json_reply([[1]])

        is_refused = asyncio.Event()

        async def sleep(seconds: float) -> None:
            is_refused.set()
            await asyncio.sleep(seconds)

        async with answering(answer, sleep=sleep) as provider:
            call = {
                "embed": lambda: provider.embed("x"),
                "complete": provider.complete,
                "deltas": provider.deltas,
            }[ask]
            first = asyncio.ensure_future(call())
            waits = asyncio.ensure_future(is_refused.wait())
            await asyncio.wait((first, waits), return_when=asyncio.FIRST_COMPLETED)
            waits.cancel()
            await asyncio.gather(first, call(), return_exceptions=True)
        assert len(times) > 1
        assert times[1] - times[0] >= 0.4

    @pytest.mark.parametrize(
        ("value", "asked"),
        [
            ('"api";r=0;t=9', True),
            ('"resolvers";r=4;t=80, "api"; r=0; t=9', True),
            ('"api";r=4;t=9', False),
            ('"api";r=0;t=soon', False),
            ("x" * 9999, False),
        ],
    )
    async def test_a_limit_that_is_used_up_tells_when_it_is_not(self, value, asked):
        replies = [json_reply({}, 429, headers={"RateLimit": value}), json_reply([[1]])]
        async with answering(replies) as provider:
            await provider.embed("a")
        (wait,) = provider.waits
        assert (wait == 9) is asked

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "soon",
            "-5",
            "Mon, 01 Jan 2024 00:00:00 GMT",
            "Mon, 01 Jan 99999 00:00:00 GMT",
            "9" * 400,
            "Mon, 01 Jan 2024 00:00:00 +2500",
            "Mon, 01 Jan 2024 00:00:00 +99999999999999999999",
        ],
    )
    async def test_a_wait_that_is_none_does_no_harm(self, value):
        reply = json_reply({"error": "x"}, 503, headers={"Retry-After": value})
        async with answering(reply) as provider:
            error = await failing(provider.embed("x"))
        assert error.status == 400

    async def test_an_empty_body_is_told_at_once(self):
        async with answering(Reply(body=b"")) as provider:
            error = await failing(provider.embed("x"))
        assert len(provider.calls) == 1
        cause = "Response body was empty " + ID
        assert (error.status, error.reason) == (500, SEND.format("text_embedding", cause))

    async def test_a_body_that_is_too_large_is_told_at_once(self):
        async with answering(Reply(body=b"x" * 2000), max_response_bytes=1000) as provider:
            error = await failing(provider.embed("x"))
        assert len(provider.calls) == 1
        assert error.reason == SEND.format(
            "text_embedding", "Maximum limit of [1000] bytes reached"
        )

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    async def test_redirects_are_not_followed(self, status):
        reply = Reply(status=status, headers={"Location": "/elsewhere"})
        async with answering(reply) as provider:
            error = await failing(provider.embed("x"))
        assert len(provider.calls) == 1
        assert error.reason == f"Unhandled redirection {ID} status [{status}]"

    @pytest.mark.parametrize(
        "reply",
        [
            Reply(fault="reset"),
            Reply(chunks=[b"[[1"], fault="reset_after"),
            Reply(headers={"Content-Encoding": "gzip"}, body=b"no gzip"),
        ],
    )
    async def test_a_connection_that_breaks_off_is_tried_again(self, reply):
        async with answering([reply, json_reply([[1]])]) as provider:
            assert await provider.embed("x") == [[1.0]]
        async with answering(reply) as provider:
            error = await failing(provider.embed("x"))
        assert error.status == 500
        assert error.reason.startswith(SEND.format("text_embedding", ""))
        assert "127.0.0.1" not in error.reason

    async def test_a_provider_that_is_down_is_tried_again(self, unused_tcp_port):
        async with answering(Reply()) as provider:
            endpoint = make_endpoint(url=f"http://127.0.0.1:{unused_tcp_port}/")
            error = await failing(provider.hugging_face.embed(endpoint, ["x"], NO_DEADLINE))
        assert len(provider.waits) == 2
        assert error.reason == SEND.format("text_embedding", "Connection refused")

    async def test_what_speaks_no_http_is_an_error(self):
        async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 ready\r\n")
            writer.close()

        server = await asyncio.start_server(babble, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with answering(Reply()) as provider:
            for scheme in ("http", "https"):
                endpoint = make_endpoint(url=f"{scheme}://127.0.0.1:{port}/")
                error = await failing(provider.hugging_face.embed(endpoint, ["x"], NO_DEADLINE))
                assert error.status == 500
        server.close()

    async def test_an_unknown_host_is_told_at_once(self):
        async with answering(Reply()) as provider:
            endpoint = make_endpoint(url="http://nowhere.invalid/x")
            error = await failing(provider.hugging_face.embed(endpoint, ["x"], NO_DEADLINE))
        assert provider.waits == []
        assert (error.status, error.reason) == (
            400,
            "Invalid host [http://nowhere.invalid/x], please check that the URL is correct.",
        )

    @pytest.mark.parametrize("host", ["a" * 64 + ".invalid", "a..invalid"])
    async def test_a_host_that_cannot_be_looked_up_is_unknown(self, host):
        async with answering(Reply()) as provider:
            endpoint = make_endpoint(url=f"http://{host}/")
            error = await failing(provider.hugging_face.embed(endpoint, ["x"], NO_DEADLINE))
        assert error.status == 400

    async def test_an_error_in_several_packets_keeps_its_text(self):
        reply = Reply(status=400, chunks=[b'{"error":', b'"the text"}'])
        async with answering(reply) as provider:
            error = await failing(provider.embed("x"))
        assert error.reason.endswith("Error message: [the text]")

    async def test_an_endless_error_is_read_in_part(self):
        async with answering(Reply(status=400, body=b"x" * 10_000_000)) as provider:
            error = await failing(provider.embed("x"))
        assert len(error.reason) < 3000

    @pytest.mark.parametrize("status", [429, 500])
    async def test_completions_have_a_table_of_their_own(self, status):
        async with answering(json_reply({"error": {"message": "m"}}, status)) as provider:
            error = await failing(provider.complete())
        assert len(provider.calls) == {429: 1, 500: 3}[status]
        assert error.reason.endswith(f"{ID} status [{status}]. Error message: [m]")
