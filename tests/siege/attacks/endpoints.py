"""What can be stored, and what somebody else may have put into the store."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import urllib.request
from collections.abc import Iterable
from contextlib import closing, suppress
from typing import Final

from tests.siege.attacker import Attacker
from tests.siege.catalogue import attack, reply
from tests.siege.provider import head
from tests.siege.wire import put, request

MIB: Final = 1 << 20
LIST: Final = request("GET", "/_inference/_all")
JUNK: Final = 10_000
SERIES: Final = 100  # lines of /metrics by which it may grow


async def send_all(caller: Attacker, requests: Iterable[bytes], *, at_once: int = 4) -> None:
    """Send them, so many at once."""
    left = iter(requests)

    async def go_on() -> None:
        for data in left:
            await caller.ask(data)

    await asyncio.gather(*(go_on() for _ in range(at_once)))


def endpoints(caller: Attacker, count: int, **settings: str) -> Iterable[bytes]:
    url = settings.pop("url", f"http://{caller.provider}/completion/honest")
    for number in range(count):
        target = f"/_inference/completion/stored-{number}"
        yield put(target, url, zipped=True, **settings)


@attack(10, least=8.0, brief=True)
async def large_models(caller: Attacker) -> None:
    """dozens of endpoints whose model_id has a million characters, listed"""
    requests = list(endpoints(caller, 80, model_id="m" * 1_000_000))
    caller.begin()
    await send_all(caller, requests, at_once=8)
    await caller.flood(2, LIST)


@attack(10)
async def huge_models(caller: Attacker) -> None:
    """a dozen endpoints whose model_id has 20 MB, listed"""
    requests = list(endpoints(caller, 12, model_id="m" * (20 * MIB)))
    caller.begin()
    await send_all(caller, requests, at_once=8)
    await caller.flood(2, LIST)


@attack(10)
async def huge_tokens(caller: Attacker) -> None:
    """the same with tokens, and used"""
    requests = list(endpoints(caller, 12, api_key="hf_" + "k" * (20 * MIB)))
    caller.begin()
    await send_all(caller, requests, at_once=8)
    await caller.flood(4, request("POST", "/_inference/completion/stored-1", b'{"input":"x"}'))


@attack(10)
async def long_urls(caller: Attacker) -> None:
    """the same with URLs"""
    url = f"http://{caller.provider}/completion/honest?" + "u" * (20 * MIB)
    requests = list(endpoints(caller, 12, url=url))
    caller.begin()
    await send_all(caller, requests, at_once=8)
    await caller.flood(2, LIST)


@attack(10, least=8.0)
async def many_endpoints(caller: Attacker) -> None:
    """hundreds of endpoints of 50 KB, listed"""
    requests = list(endpoints(caller, 600, model_id="m" * 50_000))
    caller.begin()
    await send_all(caller, requests, at_once=8)
    await caller.flood(4, LIST.replace(b"_all", b"_all?pretty&format=yaml"))


@attack(18, brief=True)
async def junk_records(caller: Attacker) -> None:
    """10,000 records with a foreign key in the store"""
    with closing(sqlite3.connect(caller.database)) as database, database:
        database.executemany(
            "INSERT INTO endpoints VALUES (?, 'completion', 'foreign', randomblob(300))",
            [(f"junk-{number:05}",) for number in range(JUNK)],
        )
    caller.begin()
    url = f"http://{caller.provider}/completion/honest"
    if (status := await caller.ask(put("/_inference/completion/aaa", url))) != 200:
        caller.broken(f"no endpoint can be created beside junk: {status}")
    await caller.flood(2, LIST)


STATUSES: Final = itertools.cycle(range(200, 1000))


@reply
async def any_status():
    yield head(status=next(STATUSES), length=2) + b"no"


@attack(19, least=6.0, brief=True)
async def all_statuses(caller: Attacker) -> None:
    """a provider that answers each status once"""
    data = await caller.inference(any_status)
    before = await asyncio.to_thread(series, caller)
    caller.begin()
    with suppress(TimeoutError):
        async with asyncio.timeout(4.0):
            await send_all(caller, [data] * 800, at_once=30)
    if (grown := await asyncio.to_thread(series, caller) - before) > SERIES:
        caller.broken(f"{grown} more series of metrics")


def series(caller: Attacker) -> int:
    host, port = caller.admin
    with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=5) as answer:
        return len(answer.read().splitlines())
