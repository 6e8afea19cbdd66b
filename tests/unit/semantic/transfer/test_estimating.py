"""What a copy costs."""

from __future__ import annotations

from typing import Any

from proxy.semantic.transfer.estimating import Estimate, estimate
from proxy.semantic.transfer.fields import Amount
from tests.unit.semantic.transfer.peer import DESCRIBED, Asked, Said, StubPeer

CHUNK = {"start_offset": 0, "end_offset": 3, "embeddings": [1.0]}
GIVEN = {"body": {"inference": {"inference_id": "e", "chunks": {"body": [CHUNK]}}}}


def index(count: int, *sources: Any, size: Any = 12_345_678) -> StubPeer:
    def by(asked: Asked) -> Any:
        path = asked.target.partition("?")[0]
        if path.startswith("/_inference"):
            return Said({}, 404)
        if path == "/old/_count":
            return {"count": count}
        if path == "/old/_stats/store":
            return {"_all": {"primaries": {"store": {"size_in_bytes": size}}}}
        assert path == "/old/_search"
        hits = [{"_id": str(n), "_version": 1, "_source": one} for n, one in enumerate(sources)]
        return {"hits": {"hits": hits}}

    return StubPeer(by=by)


async def test_a_small_index_is_counted():
    made = await estimate(
        index(2, {"body": "abc", "_inference_fields": GIVEN}, {"body": "abcde"}), DESCRIBED, 32
    )
    assert made.is_exact
    assert (made.total.texts, made.total.characters, made.total.chunks) == (2, 8, 2)
    assert (made.to_embed.texts, made.to_embed.characters) == (1, 5)
    assert made.bytes == 12_345_678


async def test_a_large_one_is_estimated_from_a_sample():
    made = await estimate(index(1000, {"body": "abc"}, {}, size=None), DESCRIBED, 32)
    assert not made.is_exact
    assert (made.total.texts, made.to_embed.chunks) == (500, 500)
    assert made.bytes is None


async def test_an_empty_one_costs_nothing():
    made = await estimate(index(0), DESCRIBED, 32)
    assert made.is_exact
    assert made.total == Amount()


def test_the_costs_are_told():
    made = Estimate(
        documents=1000,
        total=Amount(texts=2000, characters=80_000, chunks=2500),
        to_embed=Amount(texts=800, characters=40_000, chunks=1000),
        bytes=12_345_678,
        is_exact=False,
        batch=32,
    )
    assert list(made.lines()) == [
        "documents: 1,000",
        "texts: about 2,000, characters: about 80,000, chunks: about 2,500",
        "vectors that are copied along: about 1,500",
        "texts to embed: about 1,000, about 10,000 tokens, in about 32 calls of the provider",
        "disk: about 12 MB, as much as now, and as much for each replica",
    ]
