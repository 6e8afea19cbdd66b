"""One call at a time, without retries: what became of it."""

from __future__ import annotations

import asyncio
import socket
import struct
import tracemalloc
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from yarl import URL

from proxy.config import EgressConfig, ProviderConfig
from proxy.ground.errors import Cause, MemoryShort
from proxy.huggingface.calls import Call, Calls, InvalidHost, NoReply, OpenReply, Refusal, Reply
from proxy.limits.memory import MemoryBudget
from proxy.telemetry.endpoints import Endpoints
from proxy.telemetry.metrics import Metrics
from tests.support.egress import egress_rules
from tests.support.samples import ID, make_endpoint
from tests.support.stubs import FaultyServer, json_reply
from tests.support.stubs import Reply as Answer


class Provider:
    """Calls to one server that answers as it is told."""

    def __init__(self, calls: Calls, metrics: Metrics, server: FaultyServer) -> None:
        self.calls = calls
        self.metrics = metrics
        self.server = server
        self.url = server.url

    def call(self, **changes: Any) -> Call:
        return Call(make_endpoint(url=self.url), {"inputs": ["x"]}, **changes)

    async def send(self, **changes: Any):
        return await self.calls.send(self.call(**changes))

    @property
    def counted(self) -> dict[tuple[str, ...], float]:
        return self.figures("provider_calls", "task", "status")

    def figures(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        families = {family.name: family for family in self.metrics.registry.collect()}
        samples = families[f"hfproxy_{name}"].samples
        return {tuple(one.labels[label] for label in labels): one.value for one in samples}


@asynccontextmanager
async def answering(answer: Answer, *, allow: tuple[str, ...] = (), **settings: Any):
    connector = egress_rules(EgressConfig(allow=allow)).connector()
    session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
    async with FaultyServer([answer]) as server, session:
        metrics = Metrics(Endpoints())
        yield Provider(Calls(session, ProviderConfig(**settings), metrics), metrics, server)


async def test_a_success_is_its_body():
    async with answering(json_reply([[1]])) as provider:
        assert await provider.send() == Reply(b"[[1]]")
    assert provider.counted == {("text_embedding", "200"): 1}


async def test_any_other_answer_is_a_refusal():
    answer = json_reply({"error": "busy"}, 503, headers={"Retry-After": "7"})
    async with answering(answer) as provider:
        assert await provider.send() == Refusal(503, b'{"error":"busy"}', 7.0)
        assert await provider.calls.open(provider.call()) == await provider.send()
    assert provider.counted == {("text_embedding", "503"): 3}


async def test_a_refusal_is_read_in_part():
    async with answering(Answer(status=400, body=b"x" * 1_000_000)) as provider:
        outcome = await provider.send()
    assert outcome == Refusal(400, b"x" * 65536)


async def test_an_empty_reply_is_none():
    problem = f"Response body was empty {ID}"
    async with answering(Answer()) as provider:
        outcome = await provider.send()
    assert outcome == NoReply(Cause("illegal_state_exception", problem), may_pass=False)


async def test_a_reply_that_is_too_large_is_none():
    async with answering(Answer(body=b"x" * 2000), max_response_bytes=1000) as provider:
        outcome = await provider.send()
    problem = "Maximum limit of [1000] bytes reached"
    assert outcome == NoReply(Cause("i_o_exception", problem), may_pass=False)


async def test_a_connection_that_breaks_off_may_hold_another_time():
    async with answering(Answer(fault="reset")) as provider:
        outcome = await provider.send()
    assert isinstance(outcome, NoReply)
    assert outcome.may_pass
    assert provider.counted == {("text_embedding", "failed"): 1}


async def test_a_reset_before_the_answer_is_told_as_that():
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    async with (
        answering(Answer()) as provider,
        await asyncio.start_server(reset, "127.0.0.1") as it,
    ):
        url = f"http://127.0.0.1:{it.sockets[0].getsockname()[1]}"
        outcome = await provider.calls.send(Call(make_endpoint(url=url), {}))
    assert outcome == NoReply(Cause("socket_exception", "Connection reset"))


async def test_a_denied_address_is_no_valid_host():
    async with answering(json_reply([[1]]), allow=("10.0.0.0/8",)) as provider:
        for outcome in (await provider.send(), await provider.calls.open(provider.call())):
            assert outcome == InvalidHost(
                f"Invalid host [{provider.url}], its address is not allowed.", is_denied=True
            )


async def test_an_unknown_host_is_named_without_the_fragment():
    async with answering(Answer()) as provider:
        endpoint = make_endpoint(url="http://nowhere.invalid/x#fragment")
        outcome = await provider.calls.send(Call(endpoint, {}))
    assert outcome == InvalidHost(
        "Invalid host [http://nowhere.invalid/x], please check that the URL is correct."
    )


async def test_a_reply_beyond_the_memory_is_an_error():
    async with answering(Answer(body=b"x" * 2000)) as provider:
        with MemoryBudget(1000).request(), pytest.raises(MemoryShort):
            await provider.send()


async def test_only_retries_are_counted_as_such():
    async with answering(json_reply([[1]])) as provider:
        await provider.send()
        assert provider.figures("provider_retries", "task") == {}
        await provider.send(is_retry=True)
        assert provider.figures("provider_retries", "task") == {("text_embedding",): 1}


async def test_a_gateway_may_hold_a_call_of_any_size():
    async with answering(json_reply([[1]])) as provider:
        for size in (1, 3_000_000):  # one that is sent in pieces, too
            call = replace(provider.call(), body={"inputs": ["x" * size]})
            await provider.calls.send(call)
            await provider.calls.send(replace(call, scale_up_timeout=42))
    held = [call.headers.get("X-Scale-Up-Timeout") for call in provider.server.calls]
    assert held == [None, "42"] * 2
    assert all(call.json for call in provider.server.calls)


async def test_an_open_reply_lasts_until_it_is_closed():
    async with answering(Answer(chunks=[b"a", b"b"])) as provider:
        reply = await provider.calls.open(provider.call())
        assert isinstance(reply, OpenReply)
        assert await reply.content.readany() == b"a"
        assert provider.counted == {}
        reply.close()
        assert provider.counted == {("text_embedding", "200"): 1}


async def test_a_large_body_arrives_complete():
    async with answering(json_reply([[1]])) as provider:
        text = "x" * 5_000_000
        endpoint = make_endpoint(url=provider.url)
        outcome = await provider.calls.send(Call(endpoint, {"inputs": [text]}))
    assert isinstance(outcome, Reply)
    assert provider.server.calls[0].json == {"inputs": [text]}


async def test_a_call_that_is_cancelled_is_counted_as_failed():
    async with answering(Answer(fault="hang")) as provider:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await provider.send()
    assert provider.counted == {("text_embedding", "failed"): 1}


async def test_urls_of_any_length_take_little_memory_once_they_were_called():
    megabyte = "x" * 1_000_000
    async with answering(json_reply([[1]])) as provider:
        urls = [f"{provider.url}/{number}{megabyte}" for number in range(8)]
        tracemalloc.start()
        try:
            for url in urls:
                URL(url, encoded=True)  # which yarl remembers
            before = tracemalloc.get_traced_memory()[0]
            for url in urls:
                await provider.calls.send(Call(make_endpoint(url=url), {"inputs": ["x"]}))
            # What is logged of the server's errors holds up to a megabyte for each of the eight.
            assert tracemalloc.get_traced_memory()[0] - before < 12_000_000
        finally:
            tracemalloc.stop()
