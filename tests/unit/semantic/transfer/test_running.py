"""The steps of a copy, and what is told of them; stand-ins play both sides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from proxy.ground.errors import IllegalArgument
from proxy.semantic.transfer.running import Incomplete, Wish, execute, preview
from tests.unit.semantic.transfer.peer import DESCRIBED, MAPPING, Asked, Said, StubPeer

MISSING = {"error": {"type": "resource_not_found_exception", "reason": "no"}}


class Source:
    """An index of two documents without text."""

    def __call__(self, asked: Asked) -> Any:
        path = asked.target.partition("?")[0]
        if path.startswith("/_inference"):
            return Said({}, 404)
        if path == "/old":
            settings = {"index.uuid": "Uu-1"}
            return {"old": {"mappings": MAPPING, "settings": settings, "aliases": {}}}
        if "_pit" in path:
            return {"id": "p"}
        if path == "/old/_count":
            return {"count": 2}
        if path == "/old/_stats/store":
            return {}
        if path.endswith("_search"):
            start = asked.json.get("search_after", [0])[0]
            hits = [
                {"_id": str(n), "_version": 1, "sort": [n + 1], "_source": {}}
                for n in range(start, 2)
            ]
            return {"hits": {"total": {"value": 2}, "hits": hits}}
        return {}


class Target:
    """One that takes what it gets, or loses it."""

    def __init__(self, *, count: int = 2, endpoint: Said | None = None) -> None:
        self.count = count
        self.endpoint = endpoint or Said({})

    def __call__(self, asked: Asked) -> Any:
        path = asked.target.partition("?")[0]
        if path.startswith("/_inference"):
            return self.endpoint
        if path == "/new/_count":
            return {"count": self.count}
        if path == "/new/_bulk":
            return {"items": [{"index": {"status": 201}} for _ in asked.lines[::2]]}
        if asked.method == "GET" and path == "/new/_alias":
            return Said({}, 404)
        return {}


def wish(target: Target, **more: Any) -> Wish:
    source, target_peer = StubPeer(by=Source()), StubPeer(by=target)
    return Wish(index="old", new="new", source=source, target=target_peer, batch=32, **more)


@pytest.mark.parametrize(
    ("endpoint", "endpoints", "obstacles"),
    [
        (Said({}), {}, []),
        (Said(MISSING, 404), {}, ["http://peer has no inference endpoint [e]"]),
        (Said(MISSING, 404), {"e": "f"}, ["http://peer has no inference endpoint [f]"]),
        (
            Said({"error": "no handler"}, 400),
            {},
            ["http://peer has no semantic_text of its own: to GET /_inference, no handler"],
        ),
    ],
)
async def test_a_preview_tells_the_costs_and_what_keeps_it_from_being_made(
    endpoint: Said, endpoints: dict[str, str], obstacles: list[str]
):
    told: list[str] = []
    original, found = await preview(
        wish(Target(endpoint=endpoint), endpoints=endpoints), told.append
    )
    assert (original.name, found) == ("old", obstacles)
    assert "  documents: 2" in told
    assert "  body: semantic_text, endpoint [e]" in told


async def test_a_copy_is_made_and_compared():
    told: list[str] = []
    wanted = wish(Target())
    await execute(wanted, DESCRIBED, told.append, swap=False)
    assert told[0].startswith("copied 2 documents, of which 0 had to be embedded")
    assert told[1] == "new has 2 documents, old had 2"
    assert "  the same command with --swap" in told


async def test_a_copy_that_lacks_documents_is_told():
    with pytest.raises(Incomplete, match=r"\[new\] has 1 of 2 documents"):
        await execute(wish(Target(count=1)), DESCRIBED, lambda _: None, swap=False)


async def test_an_index_that_takes_writes_is_not_swapped():
    writable = replace(DESCRIBED, takes_no_writes=False)
    wanted = wish(Target())
    with pytest.raises(IllegalArgument, match=r"index\.blocks\.write"):
        await execute(wanted, writable, lambda _: None, swap=True)
    assert wanted.target.asked == []  # type: ignore[attr-defined]


async def test_fields_that_a_proxy_has_passed_on_are_told_and_taken_away():
    beneath = StubPeer({"new": {"mappings": MAPPING}})
    wanted = wish(Target(), beneath=beneath)
    with pytest.raises(IllegalArgument, match=r"does not have the endpoints \[e\] itself"):
        await execute(wanted, DESCRIBED, lambda _: None, swap=False)
    assert wanted.target.asked[-1].method == "DELETE"  # type: ignore[attr-defined]
