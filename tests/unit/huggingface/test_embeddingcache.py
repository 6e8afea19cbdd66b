"""Which texts a provider is asked about, and which embeddings are found."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proxy.ground import freshness
from proxy.ground.authorization import held
from proxy.ground.errors import IllegalArgument, MemoryShort, ProxyError, Unauthorized
from proxy.huggingface.embeddingcache import OVERHEAD, EmbeddingCache, Memory
from proxy.limits.deadline import NO_DEADLINE
from proxy.limits.memory import MemoryBudget
from proxy.xcontent.numbers import Numbers
from tests.support.huggingface import answering, vectors
from tests.support.stubs import Reply, json_reply

MIB = 1024 * 1024


class Cached:
    """A provider behind a cache."""

    def __init__(self, provider: Any, cache: EmbeddingCache) -> None:
        self.provider = provider
        self.cache = cache

    async def embed(self, *texts: str, revision: str | None = "r1", **settings: Any):
        """As for a request: what is at hand, or else what comes of waiting for it."""
        kept = self.at_hand(*texts, revision=revision, **settings)
        if kept is not None:
            return [list(vector) for vector in kept]
        return await self.provider.embed(*texts, revision=revision, **settings)

    def at_hand(self, *texts: str, revision: str | None = "r1", **settings: Any):
        endpoint = self.provider.endpoint(revision=revision, **settings)
        return self.provider.hugging_face.at_hand(endpoint, texts)

    @property
    def asked(self) -> list[list[str]]:
        return [call.json["inputs"] for call in self.provider.calls]


@asynccontextmanager
async def cached(answer: Any = vectors, max_bytes: int = MIB, **settings: Any):
    cache = EmbeddingCache(Memory(max_bytes), None)
    async with answering(answer, cache=cache, **settings) as provider:
        yield Cached(provider, cache)


@pytest.mark.parametrize("coalescing", [False, True])
async def test_only_what_is_not_kept_is_asked_for_and_all_is_in_order(coalescing):
    async with cached(coalescing=coalescing) as world:
        assert await world.embed("1", "2") == [[1.0], [2.0]]
        assert await world.embed("3", "2", "4", "1") == [[3.0], [2.0], [4.0], [1.0]]
        assert world.asked == [["1", "2"], ["3", "4"]]
        assert (world.cache.from_memory, world.cache.from_provider) == (2, 4)


async def test_a_text_that_a_request_repeats_is_sent_once():
    async with cached() as world:
        assert await world.embed("1", "2", "1") == [[1.0], [2.0], [1.0]]
        assert world.asked == [["1", "2"]]
        assert (world.cache.from_memory, world.cache.from_provider) == (0, 2)
        await world.embed("1", "3", "1")
        assert (world.cache.from_memory, world.cache.from_provider) == (2, 3)


async def test_the_bytes_of_the_provider_are_kept():
    reply = Reply(body=b"[[ 0.10, 1, 2.5e-1 ]]", headers={"Content-Type": "application/json"})
    async with cached(reply) as world:
        endpoint = world.provider.endpoint(revision="r1")
        found = [
            (await world.provider.hugging_face.embed(endpoint, ["1"], NO_DEADLINE))[0]
            for _ in range(2)
        ]
    assert [one.json for one in found] == [b"[0.10,1.0,2.5e-1]"] * 2
    assert [len(one) for one in found] == [3, 3]


@pytest.mark.parametrize(
    "other", [{"revision": "r2"}, {"inference_id": "e2"}, {"max_input_tokens": 1}]
)
async def test_what_is_kept_is_of_one_endpoint_as_it_is_stored(other):
    async with cached() as world:
        await world.embed("12345")
        await world.embed("12345", **other)
        assert len(world.asked) == 2


async def test_an_endpoint_that_is_not_stored_is_always_asked():
    async with cached() as world:
        for _ in range(2):
            await world.embed("1", revision=None)
        assert len(world.asked) == 2
        assert world.cache.memory.size == 0


async def test_errors_are_not_kept():
    replies = [json_reply({"error": "no"}, 400), json_reply([[1.0], [2.0]]), json_reply([[1.0]])]
    async with cached(replies) as world:
        for _ in range(2):  # the second answer has a vector too many
            with pytest.raises(ProxyError):
                await world.embed("1")
        assert await world.embed("1") == [[1.0]]
        assert len(world.asked) == 3


async def test_batches_that_succeed_are_kept_though_the_request_fails():
    def answer(call):
        return json_reply({"error": "no"}, 400) if "9" in call.json["inputs"] else vectors(call)

    async with cached(answer, max_batch_inputs=1, concurrency=1) as world:
        with pytest.raises(ProxyError):
            await world.embed("1", "9")
        await world.embed("1")
        assert world.asked == [["1"], ["9"]]


async def test_a_text_that_was_cut_for_the_provider_is_not_kept_as_a_whole():
    replies = [json_reply({}, 413), json_reply([[1234.0]]), json_reply([[12345678.0]])]
    async with cached(replies) as world:
        assert await world.embed("12345678") == [[1234.0]]
        assert await world.embed("12345678") == [[12345678.0]]
        assert world.asked == [["12345678"], ["1234"], ["12345678"]]


async def test_weights_are_kept_with_what_is_told_of_their_texts():
    def answer(call):
        return json_reply([{text: 0.1, "b": 2} for text in call.json["inputs"]])

    async with cached(answer) as world:
        settings = {"revision": "r1", "max_input_tokens": 1}
        first = await world.provider.embed_sparse("abcd", "abc", **settings)
        again = await world.provider.embed_sparse("abc", "abcd", **settings)
        assert again == first[::-1]
        assert [one.is_truncated for one in first] == [True, False]
        assert list(again[0].tokens.items()) == [("abc", 0.1), ("b", 2.0)]
        assert len(world.asked) == 1


async def test_tasks_do_not_share():
    async with cached() as world:
        await world.embed("1")
        world.provider.server.answer = lambda call: json_reply(
            [{"a": 1} for _ in call.json["inputs"]]
        )
        assert len(await world.provider.embed_sparse("1", revision="r1")) == 1
        assert len(world.asked) == 2


async def test_what_is_found_costs_no_rate_limit():
    async with cached() as world, asyncio.timeout(10):
        for _ in range(3):
            await world.embed("1", requests_per_minute=1)


class Revoked:
    is_due = True

    async def confirm(self) -> None:
        raise Unauthorized("no more")

    confirm_stream = confirm


async def test_what_is_found_is_for_those_only_who_may_ask():
    async with cached() as world:
        await world.embed("1")
        with held(Revoked()), pytest.raises(Unauthorized):
            await world.embed("1")


async def test_what_is_found_counts_for_its_request():
    async with cached(json_reply([[0.5] * 100])) as world:
        await world.embed("1")
        with MemoryBudget(500).request(), pytest.raises(MemoryShort):
            await world.embed("1")


async def test_at_hand_is_what_costs_no_time():
    long = "0" * 20_000
    async with cached() as world:
        assert world.at_hand("1") is None
        assert await world.embed("1", long) == [[1.0], [0.0]]
        assert world.at_hand("1") == [Numbers.of([1.0])]
        assert world.at_hand("1", "2") is None
        assert world.at_hand("1", revision=None) is None
        assert world.at_hand(long) is None
        assert await world.embed(long) == [[0.0]]
        assert len(world.asked) == 1


async def test_a_request_may_want_the_provider_to_be_asked():
    answers = iter((1.0, 2.0))
    async with cached(lambda call: json_reply([[next(answers)]])) as world:
        await world.embed("x")
        with freshness.wanting("No-Cache"):
            assert await world.embed("x") == [[2.0]]
        assert await world.embed("x") == [[2.0]]
        assert (world.cache.bypassed, world.cache.from_memory) == (1, 1)


def test_a_request_cannot_want_anything_else():
    with pytest.raises(IllegalArgument, match=r"\[X-Embedding-Cache\] must be \[no-cache\]"):
        freshness.wanting("bypass")


def test_memory_holds_what_was_used_last():
    memory = Memory(2 * (OVERHEAD + 10))
    for key in (b"a", b"b"):
        memory.keep(key, b"0123456789")
    memory.find(b"a")
    memory.keep(b"c", b"0123456789")
    assert [memory.find(key) for key in (b"a", b"b")] == [b"0123456789", None]
    assert memory.size == 2 * (OVERHEAD + 10)
    memory.keep(b"c", b"01")
    assert memory.size == 2 * OVERHEAD + 12
    memory.keep(b"c", bytes(1000))
    assert memory.find(b"c") is None
    assert memory.size == OVERHEAD + 10
