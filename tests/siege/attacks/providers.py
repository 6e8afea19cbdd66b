"""Providers that answer without end or measure."""

from __future__ import annotations

import asyncio
from typing import Final

from tests.siege.attacker import Attacker
from tests.siege.catalogue import attack, reply
from tests.siege.provider import head
from tests.siege.wire import request

MIB: Final = 1 << 20
EVENTS: Final = "text/event-stream"
BURST: Final = 1000  # small things that are sent at once
MANY: Final = 5_000_000


def whole(body: bytes) -> bytes:
    return head(length=len(body)) + body


def event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


# 1: texts that a parser walks through step by step


@reply
async def escapes():
    yield whole(b'{"choices":[{"message":{"content":"' + rb"\n" * MANY + rb'\ud800"}}]}')


@attack(1, brief=True)
async def escapes_in_a_reply(caller: Attacker) -> None:
    """a completion of 5 million escapes"""
    await caller.flood(4, await caller.inference(escapes, "completion"))


@reply
async def comments():
    yield whole(b"//\n" * MANY + b"[[0.5]]")


@attack(1)
async def comments_in_a_reply(caller: Attacker) -> None:
    """a reply after 5 million lines of comments"""
    await caller.flood(4, await caller.inference(comments))


@reply
async def escapes_in_events():
    yield head(EVENTS)
    text = rb"\n" * (MIB // 3) + rb"\ud800"
    while True:
        yield event(b'{"choices":[{"delta":{"content":"' + text + b'"}}]}')


@attack(1)
async def escapes_in_a_stream(caller: Attacker) -> None:
    """events that are full of escapes, one after the other"""
    data = await caller.inference(escapes_in_events, "completion", tail="/_stream")
    await caller.flood(4, data)


# 6: answers that do not end, or do not begin


@reply
async def interim():
    while True:
        yield b"HTTP/1.1 100 Continue\r\n\r\n" * BURST


@attack(6, brief=True)
async def interim_answers(caller: Attacker) -> None:
    """a provider that answers 100 for ever"""
    await caller.flood(4, await caller.inference(interim))


@reply
async def hints():
    while True:
        yield b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * BURST


@attack(6)
async def interim_answers_to_streams(caller: Attacker) -> None:
    """a provider that answers 103 for ever"""
    await caller.flood(4, await caller.inference(hints, "completion", tail="/_stream"))


@attack(6, brief=True)
async def interim_answers_upstream(caller: Attacker) -> None:
    """an upstream that answers 103 for ever"""
    await caller.flood(2, request("GET", "/siege/interim"))


@attack(6, flags=("--no-lane",))
async def interim_upstream_no_lane(caller: Attacker) -> None:
    """the same without the lane"""
    await caller.flood(2, request("GET", "/siege/interim"))


@reply
async def headers():
    yield b"HTTP/1.1 200 OK\r\n"
    while True:
        yield b"x: y\r\n" * BURST


@attack(6)
async def endless_head(caller: Attacker) -> None:
    """a provider whose head does not end"""
    await caller.flood(4, await caller.inference(headers))


@reply
async def heartbeats():
    yield head(EVENTS)
    while True:
        yield b": alive\n\n" * BURST


@attack(6)
async def endless_heartbeats(caller: Attacker) -> None:
    """a stream of nothing but comments"""
    await caller.flood(4, await caller.inference(heartbeats, "completion", tail="/_stream"))


@reply
async def small_events():
    yield head(EVENTS)
    while True:
        yield event(b'{"choices":[{"delta":{"content":"a"}}]}') * BURST


@attack(6)
async def endless_events(caller: Attacker) -> None:
    """small events as fast as can be"""
    await caller.flood(4, await caller.inference(small_events, "completion", tail="/_stream"))


@reply
async def refusal():
    yield head(status=400, kind="text/plain")
    while True:
        yield b"no " * BURST


@attack(6)
async def endless_refusals(caller: Attacker) -> None:
    """an error that does not end"""
    await caller.flood(4, await caller.inference(refusal))


# 8: events


async def hang() -> None:
    await asyncio.Event().wait()


@reply
async def unfinished():
    yield head(EVENTS)
    yield b"data: " + b"a" * (15 * MIB)
    await hang()


@attack(8, least=4.0, brief=True)
async def unfinished_events(caller: Attacker) -> None:
    """thirty events of 15 MB that do not end"""
    await caller.flood(30, await caller.inference(unfinished, "completion", tail="/_stream"))


@reply
async def lines():
    yield head(EVENTS)
    yield b"data:\n" * (15 * MIB // 6)
    await hang()


@attack(8, least=4.0)
async def unfinished_events_of_lines(caller: Attacker) -> None:
    """the same, made of empty lines"""
    body = b'{"messages":[{"role":"user","content":"siege"}]}'
    data = await caller.inference(lines, "chat_completion", tail="/_stream", body=body)
    await caller.flood(30, data)


@reply
async def large_events():
    yield head(EVENTS)
    text = b'{"choices":[{"delta":{"content":"' + b"a" * (MIB - 100) + b'"}}]}'
    while True:
        yield event(text)


@attack(8, least=4.0)
async def unread_events(caller: Attacker) -> None:
    """thirty streams of events of 1 MiB, which nobody reads"""
    data = await caller.inference(large_events, "completion", tail="/_stream")
    await caller.hold([data] * 30)


# 9: replies


@reply
async def zeros():
    yield whole(b"[[" + b"0," * (24 * MIB) + b"0]]")


@attack(9, brief=True)
async def many_zeros(caller: Attacker) -> None:
    """a vector of 48 MB of zeros"""
    await caller.flood(2, await caller.inference(zeros))


@reply
async def empty_vectors():
    yield whole(b"[" + b"[]," * (16 * MIB) + b"[0]]")


@attack(9)
async def many_vectors(caller: Attacker) -> None:
    """48 MB of empty vectors"""
    await caller.flood(2, await caller.inference(empty_vectors))


@reply
async def objects():
    yield whole(b"[" + b'{"a":0},' * (6 * MIB) + b'{"a":0}]')


@attack(9)
async def many_objects(caller: Attacker) -> None:
    """48 MB of small objects"""
    await caller.flood(2, await caller.inference(objects, "sparse_embedding"))


@reply
async def tokens():
    yield whole(b"[{" + b",".join(b'"%d":0' % number for number in range(400_000)) + b"}]")


@attack(9)
async def many_tokens(caller: Attacker) -> None:
    """a sparse vector of 400,000 tokens"""
    await caller.flood(4, await caller.inference(tokens, "sparse_embedding"))


@reply
async def long_completion():
    text = b"some words " * (45 * MIB // 11)
    yield whole(b'{"choices":[{"message":{"content":"' + text + b'"}}]}')


@attack(9)
async def long_completions(caller: Attacker) -> None:
    """a completion of 45 MB"""
    await caller.flood(2, await caller.inference(long_completion, "completion"))
