"""How an index is read page by page; a stand-in plays the Elasticsearch."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.ground.errors import IllegalArgument
from proxy.semantic.transfer.original import Reader, describe, sample
from proxy.semantic.transfer.peers import Refused
from tests.unit.semantic.transfer.peer import MAPPING, Asked, Said, StubPeer

UNKNOWN = {"error": {"reason": "unknown key [exclude_vectors]"}}


class Index:
    """An index of so many documents, of which one may be too large to be read."""

    def __init__(self, count: int, *, large: int | None = None, is_old: bool = False) -> None:
        self.count = count
        self.large = large
        self.is_old = is_old
        self.sizes: list[int] = []

    def __call__(self, asked: Asked) -> Any:
        if "_pit" in asked.target:
            return {"id": "p"}
        body = asked.json
        if self.is_old and "exclude_vectors" in str(body):
            return Said(UNKNOWN, 400)
        start = body.get("search_after", [0])[0]
        numbers = range(start, min(self.count, start + body["size"]))
        self.sizes.append(body["size"])
        if self.large in numbers and body.get("_source") is not False:
            return None
        hits = [
            {"_id": str(n), "_version": 1, "sort": [n + 1], "_source": {"n": n}} for n in numbers
        ]
        return {"pit_id": "p", "hits": {"total": {"value": self.count}, "hits": hits}}


async def read(reader: Reader) -> list[str]:
    return [one.hit.id async for page in reader.pages() for one in page]


async def test_every_document_is_read_once():
    index = Index(700)
    reader = Reader(StubPeer(by=index), "old")
    assert await read(reader) == [str(n) for n in range(700)]
    assert reader.total == 700
    assert index.sizes[:3] == [50, 200, 800]


async def test_one_that_is_too_large_is_passed_over_alone():
    reader = Reader(StubPeer(by=Index(120, large=70)), "old")
    assert await read(reader) == [str(n) for n in range(120) if n != 70]
    assert reader.unreadable == ["70"]


async def test_before_9_2_vectors_are_asked_for_by_name():
    peer = StubPeer(by=Index(3, is_old=True))
    assert len(await read(Reader(peer, "old"))) == 3
    assert peer.asked[2].json["fields"] == ["_inference_fields"]
    peer = StubPeer(by=Index(3, is_old=True))
    assert len(await sample(peer, "old", 10)) == 3


async def test_an_error_is_no_document_that_is_too_large():
    def by(asked: Asked) -> Any:
        if "_pit" in asked.target:
            return {"id": "p"}
        return Said({"error": {"reason": "no"}}, 403)

    peer = StubPeer(by=by)
    with pytest.raises(Refused, match="no; name a user"):
        await read(Reader(peer, "old"))
    assert peer.asked[-1].method == "DELETE"


async def test_parts_of_answers_are_as_they_were_written():
    class Raw(Said):
        @property
        def body(self) -> bytes:
            return (
                b'{"hits":{"total":{"value":1},"hits":[{"_id":"1","_version":1,"sort":[1],"_source":'
                b'{"huge":123456789012345678901234567890,"_inference_fields":{"a":{}},"x":1e400}}]}}'
            )

    (one,) = await sample(StubPeer(Raw(None)), "old", 1)
    assert one.source == b'{"huge":123456789012345678901234567890,"x":1e400}'
    assert one.inference == {"a": {}}


def about(**more: Any) -> dict[str, Any]:
    settings = {"index.uuid": "u", "index.blocks.write": "true", "index.codec": "best_compression"}
    return {"mappings": MAPPING, "settings": settings, "aliases": {}, **more}


async def test_an_index_is_described_as_declared():
    found = await describe(StubPeer({"old": about()}), "alias")
    assert (found.name, found.uuid, found.takes_no_writes) == ("old", "u", True)
    assert found.own_settings == {"codec": "best_compression"}


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ({"a": about(), "b": about()}, "stands for 2 indices"),
        ({"a": about(data_stream="d")}, "belongs to a data stream"),
        ({"a": about(mappings={**MAPPING, "_source": {"enabled": False}})}, "does not keep all"),
        ({"a": about(mappings={})}, "has no fields of type"),
    ],
)
async def test_what_cannot_be_copied_is_told(found: Any, reason: str):
    with pytest.raises(IllegalArgument, match=reason):
        await describe(StubPeer(found), "old")
