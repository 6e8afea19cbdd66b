"""Callers who take places and memory, and keep them."""

from __future__ import annotations

import asyncio
from typing import Final

from tests.siege.attacker import Attacker
from tests.siege.attacks.providers import EVENTS
from tests.siege.catalogue import attack, reply
from tests.siege.provider import head
from tests.siege.wire import ATTACKER, NOBODY, basic, request

MIB: Final = 1 << 20
TARGET: Final = "/_inference/text_embedding/probe"
GAPS: Final = ((40, 1 << 16), (100, 1 << 12), (300, 64))  # smaller bodies: how many, how large
OF_ONE: Final = 4  # `limits.streams_per_caller`


def unfinished(user: str | None, *bodies: tuple[int, int]) -> list[bytes]:
    """The beginnings of requests, all but a byte; of so many bodies of so many bytes."""
    return [
        request("POST", TARGET, b" " * size, user=user)[:-1]
        for count, size in bodies
        for _ in range(count)
    ]


@attack(11, least=3.0)
async def bodies_of_nobody(caller: Attacker) -> None:
    """a user without any right holds 119 unfinished bodies of 1 MiB"""
    await caller.hold(unfinished(NOBODY, (119, MIB)))


@attack(11, least=3.0, brief=True)
async def more_bodies_of_nobody(caller: Attacker) -> None:
    """the same, and smaller ones in the gaps"""
    await caller.hold(unfinished(NOBODY, (106, MIB), *GAPS))


@attack(11, least=3.0)
async def bodies_of_one(caller: Attacker) -> None:
    """a user who may does the same"""
    await caller.hold(unfinished(ATTACKER, (106, MIB), *GAPS))


@attack(11, least=3.0)
async def large_bodies_of_one(caller: Attacker) -> None:
    """a user who may holds a few of 50 MiB, and smaller ones in the gaps"""
    await caller.hold(unfinished(ATTACKER, (2, 53 * MIB), *GAPS))


@reply
async def waiting():
    yield head(EVENTS) + b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
    await asyncio.Event().wait()


@attack(13, settings={"HFPROXY_LIMITS_STREAMS_PER_CALLER": str(OF_ONE)}, brief=True)
async def other_spellings(caller: Attacker) -> None:
    """streams of one user, who spells the scheme in other ways"""
    target = await caller.endpoint(waiting, "completion") + "/_stream"
    caller.begin()
    for scheme in ("Basic", "basic", "BASIC", "Basic "):
        headers = {"Authorization": basic(ATTACKER, scheme)}
        for _ in range(OF_ONE):
            reader, writer = await caller.open()
            writer.write(request("POST", target, b'{"input":"siege"}', headers=headers))
            caller.answers[int((await reader.readuntil(b"\r\n\r\n"))[9:12])] += 1
            caller.kept.append(writer)
    if caller.answers[200] > OF_ONE + 1:  # and one for the endpoint
        caller.broken(f"{caller.answers[200]} streams, where {OF_ONE} are allowed")
