"""A whole `_bulk`: its items are sent with their vectors, and answered in their places."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final

import orjson
import pytest
from aiohttp import web

from proxy.ground.errors import StatusError, UpstreamUnavailable
from proxy.semantic import writing
from proxy.semantic.collected import CollectedItems
from proxy.semantic.writing import with_lines
from tests.unit.semantic.exchanges import Answer, Asked, World, world
from tests.unit.semantic.targets import semantic_field, target


def here(*answers: Any) -> World:
    made = world(target(semantic_field()), *answers)
    made.registry.writes_to("a")
    return made


def lines(*parts: Any) -> bytes:
    return b"".join(orjson.dumps(one) + b"\n" for one in parts)


def done(*statuses: int) -> dict[str, Any]:
    return {"items": [{"index": {"_index": "a", "_id": "1", "status": one}} for one in statuses]}


INDEX: Final = {"index": {"_index": "a", "_id": "1"}}


async def test_documents_are_embedded_together_and_sent_with_their_vectors():
    before = here(done(201, 201))
    body = lines(INDEX, {"body": "one"}, INDEX, {"body": "two"})
    answer = await before.request("POST", "/_bulk", body)
    assert [one["index"]["status"] for one in answer["items"]] == [201, 201]
    assert answer["errors"] is False
    assert before.endpoints.calls == [["one", "two"]]
    sent = [orjson.loads(line) for line in before.upstream.asked[0].body.splitlines()]
    assert sent[1]["xinf"]["body"]["chunks"][0]["embeddings"] == [1.0, 0.0, 0.0]


async def test_an_item_that_fails_here_is_answered_in_its_place():
    before = here(done(201))
    body = lines(INDEX, {"body": {"a": 1}}, INDEX, {"body": "two"})
    answer = await before.request("POST", "/_bulk", body)
    assert [one["index"]["status"] for one in answer["items"]] == [400, 201]
    assert answer["errors"] is True


async def test_a_refusal_of_all_is_told_in_the_users_words():
    refused = Answer({"error": {"reason": "[xinf.body.chunks]"}, "status": 429}, 429)
    answer = await here(refused).answer("POST", "/_bulk", lines(INDEX, {"body": "one"}))
    assert answer.status == 429
    assert b"xinf" not in answer.body  # type: ignore[attr-defined]


@pytest.mark.parametrize("body", [b"", b"\n", b"rubbish\n", b'{"index":{}}\n{}'])
async def test_what_is_no_bulk_is_refused_by_the_upstream(body: bytes):
    refused = Answer({"error": {"reason": "Malformed"}, "status": 400}, 400)
    answer = await here(refused).answer("POST", "/_bulk", body)
    assert answer.status == 400
    assert b"Malformed" in answer.body  # type: ignore[attr-defined]


async def test_a_slow_upstream_is_not_sent_all_that_waits_at_once(monkeypatch):
    before = here(done())

    async def answer_slowly(request, method, target, body):
        body = b"".join(body)
        before.upstream.asked.append(Asked(method, target, body))
        await asyncio.sleep(0.1)
        return Answer(done(*[201] * (body.count(b"\n") // 2)))

    async def pieces(*asked: object) -> AsyncIterator[bytes]:
        for _ in range(300):
            yield lines(INDEX, {"other": "x" * 65536})  # nothing to be embedded

    monkeypatch.setattr(before.upstream, "ask_as_caller", answer_slowly)
    exchange, handle = before.exchange("POST", "/_bulk")
    exchange.parts = replace(exchange.parts, read_pieces=pieces)
    await handle(exchange)
    assert sum(asked.body.count(b"\n") for asked in before.upstream.asked) == 600
    assert max(len(asked.body) for asked in before.upstream.asked) < 14 * 1024 * 1024


async def test_the_upstream_does_not_wait_for_what_becomes_of_its_answers(monkeypatch):
    before = here(done())
    events = []

    async def answer(request, method, target, body):
        events.append("asked")
        await asyncio.sleep(0.1)  # until the next window is there
        return Answer(done(*[201] * (b"".join(body).count(b"\n") // 2)))

    class Collected(CollectedItems):
        def add(self, items):
            events.append("collected")
            super().add(items)

    async def pieces(*asked: object) -> AsyncIterator[bytes]:
        yield lines(*[INDEX, {"other": "x" * 65536}] * 300)  # in several windows

    monkeypatch.setattr(before.upstream, "ask_as_caller", answer)
    monkeypatch.setattr(writing, "CollectedItems", Collected)
    exchange, handle = before.exchange("POST", "/_bulk")
    exchange.parts = replace(exchange.parts, read_pieces=pieces)
    await handle(exchange)
    assert events[:3] == ["asked", "asked", "collected"]
    assert events.count("asked") == events.count("collected")


@pytest.mark.parametrize("query", ["", "?refresh=true"])
async def test_items_that_went_well_are_answered_as_the_upstream_has_written_them(
    query, monkeypatch
):
    written = {"index": {"_index": "a", "_id": "1", "result": "created", "status": 201}}
    body = b'{"errors":false,"took":1,"items":[%b]}'

    async def answer(request, method, target, sent=()):
        lines = b"".join(sent).splitlines() if "_bulk" in target else []
        return Answer(body % b",".join([orjson.dumps(written)] * (len(lines) // 2)))

    async def pieces(*asked: object) -> AsyncIterator[bytes]:
        yield lines(*[INDEX, {"body": "x" * 65536}] * 30)  # in several windows

    before = here()
    monkeypatch.setattr(before.upstream, "ask_as_caller", answer)
    exchange, handle = before.exchange("POST", f"/_bulk{query}")
    exchange.parts = replace(exchange.parts, read_pieces=pieces)
    found = orjson.loads((await handle(exchange)).body)
    assert not found["errors"]
    assert len(found["items"]) == 30
    answers = [one["index"] for one in found["items"]]
    assert {one["result"] for one in answers} == {"created"}
    assert answers[0].get("forced_refresh", False) == bool(query)


async def test_a_caller_who_leaves_amid_its_body_ends_the_request_and_is_no_error() -> None:
    loop = asyncio.get_running_loop()
    left: asyncio.Future[bytes] = loop.create_future()

    async def pieces(*asked: object) -> AsyncIterator[bytes]:
        yield lines(INDEX, {"body": "one"})
        yield await left

    exchange, handle = here(done(201)).exchange("POST", "/_bulk")
    exchange.parts = replace(exchange.parts, read_pieces=pieces)
    request = loop.create_task(handle(exchange))
    await asyncio.sleep(0.01)
    left.set_exception(ConnectionResetError())  # both at once, as aiohttp does
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request


def test_line_numbers_are_those_of_the_whole_body() -> None:
    document = {"reason": ["Malformed action/metadata line [3], expected [4]"], "status": 400}
    assert with_lines(document, lambda line: line + 10) == {
        "reason": ["Malformed action/metadata line [13], expected [4]"],
        "status": 400,
    }


# At a plain index, of which nothing need be read

PLAIN: Final = lines({"index": {"_id": "1"}}, {"a": 1})


def plain(*answers: Any) -> World:
    made = here(*answers)
    made.registry.writes_to("plain")
    return made


async def bulk(before: World, *parts: bytes, query: str = "") -> web.StreamResponse:
    async def pieces(*asked: object) -> AsyncIterator[bytes]:
        for part in parts:
            if not part:
                raise StatusError(408, "the body did not come in time")
            yield part

    exchange, handle = before.exchange("POST", f"/plain/_bulk{query}")
    exchange.parts = replace(exchange.parts, read_pieces=pieces)
    answer: web.StreamResponse = await handle(exchange)
    return answer


async def test_a_body_that_names_no_index_goes_on_as_it_comes():
    before = plain(Answer(b'{"took":1.50}'))
    answer = await bulk(before, PLAIN[:9], PLAIN[9:], PLAIN)
    assert answer.body == b'{"took":1.50}'  # type: ignore[attr-defined]
    assert [asked.body for asked in before.upstream.asked] == [PLAIN * 2]


async def test_what_names_an_index_is_read_with_all_behind_it():
    before = plain(done(200, 201), done(202, 203))
    named = lines(INDEX, {"body": "one"})
    answer = await bulk(before, PLAIN * 2, named[:9], named[9:] + PLAIN)
    items = orjson.loads(answer.body)["items"]  # type: ignore[attr-defined]
    assert [one["index"]["status"] for one in items] == [200, 201, 202, 203]
    first, second = (asked.body for asked in before.upstream.asked)
    assert first == PLAIN * 2
    assert (second.count(b"\n"), b"xinf" in second) == (4, True)


async def test_a_line_that_is_refused_behind_what_was_passed_on():
    refused = {"error": {"reason": "Malformed action/metadata line [1]"}, "status": 400}
    before = plain(done(201), Answer(refused, 400))
    answer = await bulk(before, PLAIN, b'{"_index":1}\n{}\n')
    assert answer.status == 400
    assert b"line [3]" in answer.body  # type: ignore[attr-defined]


async def test_a_refusal_of_what_was_passed_on_is_that_of_all():
    before = plain(Answer({"error": {}, "status": 429}, 429))
    answer = await bulk(before, PLAIN, lines(INDEX, {"body": "one"}))
    assert (answer.status, len(before.upstream.asked)) == (429, 1)


@pytest.mark.parametrize("query", ["?pretty", "?filter_path=items"])
async def test_an_answer_that_is_shaped_is_made_here(query):
    before = plain(done(201))
    await bulk(before, PLAIN, query=query)
    assert before.upstream.asked[0].method == "POST"


async def test_a_body_that_breaks_off_is_the_callers_error(monkeypatch):
    before = plain(done(201))

    async def hand_on_pieces(request, pieces, is_whole):
        try:
            [piece async for piece in pieces]
        except StatusError:
            raise UpstreamUnavailable("as aiohttp tells it") from None

    monkeypatch.setattr(before.upstream, "hand_on_pieces", hand_on_pieces)
    with pytest.raises(StatusError, match="did not come in time"):
        await bulk(before, PLAIN, b"")


async def test_an_upstream_that_fails_meanwhile(monkeypatch):
    before = plain(done(201))

    async def hand_on_pieces(request, pieces, is_whole):
        raise UpstreamUnavailable("gone")

    monkeypatch.setattr(before.upstream, "hand_on_pieces", hand_on_pieces)
    with pytest.raises(UpstreamUnavailable, match="gone"):
        await bulk(before, PLAIN)
