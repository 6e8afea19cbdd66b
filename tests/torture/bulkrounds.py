"""Rounds of torture for bulks: what was acknowledged is there, once, and with its vectors."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from aiohttp import ClientSession, ClientTimeout, TCPConnector

from testbed.processes import Process
from tests.support.embedder import DIMENSIONS, vector_of
from tests.torture.bulks import ENDPOINT, INDICES, PIPED, SEMANTIC, Ledger, Writer, embed
from tests.torture.callers import once
from tests.torture.stage import Stage, Store, Victim

WRITERS: Final = 4
_CRASHES: Final = 3  # in one of so many rounds Elasticsearch is killed, too
_TIMEOUT: Final = ClientTimeout(total=120)
_ODDS: Final = {Victim.WORKER: 5, Victim.WORKERS: 3, Victim.PROXY: 2}
_PIPELINE: Final = "torture-pipeline"
_REFRESH: Final = 0.2  # seconds from one look of a proxy to the next
_KNOWN: Final = 1.1  # after which every proxy knows what another one has made: see Registry
_PAGE: Final = 1000  # documents that are read at once

Stored = tuple[str, str, Mapping[str, Any]]  # a document: its index, its id, its source


@dataclass(slots=True)
class Figures:
    """What was done in the rounds, and what was found."""

    rounds: int = 0
    kills: Counter[Victim] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        kills = ", ".join(f"{count} {victim}" for victim, count in self.kills.items())
        return (
            f"{self.rounds} rounds, {self.kills.total()} kills ({kills}), {self.counts['bulks']} "
            f"bulks, {self.counts['acknowledged']} writes acknowledged, {self.counts['unknown']} "
            f"without an answer at first, {self.counts['documents']} documents, "
            f"{len(self.faults)} violations, {self.seconds / 60:.1f} minutes"
        )


async def torture_bulks(
    *,
    rounds: int,
    seed: int,
    registry: list[Process] | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Figures:
    """Torture proxies that fill semantic fields; `tell` is given progress and every fault."""
    figures, began = Figures(), time.monotonic()
    connector = TCPConnector(force_close=True, limit=0)  # each request may reach another worker
    env = {"HFPROXY_SEMANTIC_ENABLED": "true", "HFPROXY_SEMANTIC_REFRESH": str(_REFRESH)}
    async with (
        Stage(Store.ELASTICSEARCH, registry, answer=embed, env=env) as stage,
        ClientSession(connector=connector, timeout=_TIMEOUT, middlewares=[once]) as session,
    ):
        await stage.begin_anew()
        for number in range(rounds):
            rng = random.Random(f"{seed} {number}")
            ledger = Ledger()
            await _prepare(session, stage)
            await _round(session, stage, ledger, rng, has_crash=number % _CRASHES == 1)
            await _check(session, stage.upstream, ledger)
            figures.rounds += 1
            figures.counts += ledger.figures
            faults, stage.faults = ledger.faults + stage.faults, []
            figures.faults += faults
            figures.kills, figures.seconds = stage.kills, time.monotonic() - began
            for fault in faults:
                tell(f"bulks, seed {seed}, round {number}: {fault}")
            tell(f"bulks: {figures}")
    return figures


async def _ask(session: ClientSession, method: str, url: str, body: Any = None) -> Any:
    async with session.request(method, url, json=body) as reply:
        told = orjson.loads(await reply.read())
        assert reply.status < 300 or method == "DELETE", told
        return told


async def _prepare(session: ClientSession, stage: Stage) -> None:
    """Make the endpoint, the pipeline and empty indices."""
    proxy = stage.urls[0]
    settings = {"url": stage.provider, "api_key": "hf_1"}
    body = {"service": "hugging_face", "service_settings": settings}
    path = f"{proxy}/_inference/text_embedding/{ENDPOINT}"
    await _ask(session, "DELETE", f"{path}?force=true")
    await _ask(session, "PUT", path, body)
    pair = {"input_field": "body", "output_field": "vector"}
    processors = [
        {"inference": {"model_id": ENDPOINT, "input_output": pair}},
        {"set": {"field": "passed", "value": True}},
    ]
    await _ask(session, "PUT", f"{proxy}/_ingest/pipeline/{_PIPELINE}", {"processors": processors})
    field_of = {
        SEMANTIC: {"body": {"type": "semantic_text", "inference_id": ENDPOINT}},
        PIPED: {"body": {"type": "text"}, "vector": {"type": "float"}},
    }
    for index, properties in field_of.items():
        settings = {"default_pipeline": _PIPELINE} if index == PIPED else {}
        made = {"mappings": {"properties": properties}, "settings": settings}
        await _ask(session, "DELETE", f"{proxy}/{index}")
        await _ask(session, "PUT", f"{proxy}/{index}", made)
    await asyncio.sleep(_KNOWN)


async def _round(
    session: ClientSession, stage: Stage, ledger: Ledger, rng: random.Random, *, has_crash: bool
) -> None:
    """Let callers write while processes are killed, until all have their answers."""
    stop, is_over = asyncio.Event(), asyncio.Event()
    victims = rng.choices(list(_ODDS), list(_ODDS.values()), k=rng.randint(1, 3))
    if has_crash:
        victims[rng.randrange(len(victims))] = Victim.ELASTICSEARCH
    async with asyncio.TaskGroup() as group:
        group.create_task(stage.supervise(is_over))
        async with asyncio.TaskGroup() as writing:
            for number in range(WRITERS):
                writer = Writer(
                    name=f"writer{number}",
                    session=session,
                    urls=stage.urls,
                    ledger=ledger,
                    random=random.Random(f"{number} {rng.random()}"),
                )
                writing.create_task(writer.run(stop))
            for victim in victims:
                await asyncio.sleep(rng.uniform(0.3, 1.5))
                await stage.kill(victim, rng, rng.uniform(0, 0.05))
            await stage.all_running()
            await asyncio.sleep(0.3)
            stop.set()
        await stage.all_running()
        is_over.set()


async def _check(session: ClientSession, upstream: str, ledger: Ledger) -> None:
    """Compare what is stored with what callers were told."""
    stored: list[Stored] = []
    for index in INDICES:
        stored += [(index, *found) async for found in _documents(session, upstream, index)]
    ledger.figures["documents"] += len(stored)
    ledger.faults += faults(stored, ledger)


def faults(stored: Sequence[Stored], ledger: Ledger) -> Iterator[str]:
    """What is lost, is there twice, or has not the vectors of its text."""
    found = {(index, name): source["body"] for index, name, source in stored}
    for index, name, source in stored:
        if (fault := _fault_of_vectors(index, source)) is not None:
            yield f"{index}/{name}: {fault}"
    for key, fate in ledger.fates.items():
        text = found.pop(key, None)
        if text not in (fate.acknowledged, *fate.possible):
            yield f"{'/'.join(key)} has {text!r}, and should be {fate}"
    nameless = Counter((index, text) for (index, _), text in found.items())
    for key, is_known in ledger.nameless.items():
        count = nameless.pop(key, 0)
        if count > 1 or (is_known and not count):
            yield f"a document without id is there {count} times: {key}"
    yield from (f"nobody has sent {key}" for key in nameless)


def _fault_of_vectors(index: str, source: Mapping[str, Any]) -> str | None:
    """What is wrong with the vectors of a document's text; None if nothing is."""
    text = source["body"]
    if index == PIPED:
        is_whole = source.get("model_id") == ENDPOINT and source.get("passed") is True
        if is_whole and _is_of(source.get("vector"), text):
            return None
        return f"its pipeline has not run once: {source}"
    chunks = source.get("xinf", {}).get("body", {}).get("chunks", [])
    covered = 0
    for chunk in sorted(chunks, key=lambda one: one["start"]):  # which may overlap
        if text[covered : chunk["start"]].strip():
            break
        covered = max(covered, chunk["end"])
    if text[covered:].strip() or covered > len(text):
        return f"its chunks are not those of its text: {source}"
    for chunk in chunks:
        if not _is_of(chunk.get("embeddings"), text[chunk["start"] : chunk["end"]]):
            return f"a vector is missing, or is of another text: {source}"
    return None


def _is_of(vector: Any, text: str) -> bool:
    if not isinstance(vector, list) or len(vector) != DIMENSIONS:
        return False
    return all(abs(a - b) < 1e-4 for a, b in zip(vector, vector_of(text), strict=True))


async def _documents(
    session: ClientSession, upstream: str, index: str
) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """All documents of an index with their vectors."""
    await _ask(session, "POST", f"{upstream}/{index}/_refresh")
    body = {"size": _PAGE, "sort": ["_doc"], "_source": {"exclude_vectors": False}}
    page = await _ask(session, "POST", f"{upstream}/{index}/_search?scroll=1m", body)
    while page["hits"]["hits"]:
        for hit in page["hits"]["hits"]:
            yield hit["_id"], hit["_source"]
        further = {"scroll": "1m", "scroll_id": page["_scroll_id"]}
        page = await _ask(session, "POST", f"{upstream}/_search/scroll", further)
