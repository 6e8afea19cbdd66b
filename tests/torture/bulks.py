"""Callers that write documents in bulks, and remember what was acknowledged.

Whatever has no answer is sent again, the same items with the same ids, until it has one. Each
document is written by one caller only.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from aiohttp import ClientConnectorError, ClientError, ClientSession

from tests.support.embedder import vector_of
from tests.support.stubs import Call, Reply, json_reply
from tests.torture.callers import NoAnswer

SEMANTIC: Final = "torture-semantic"  # has a field of type `semantic_text`
PIPED: Final = "torture-piped"  # has a pipeline with an inference processor
INDICES: Final = (SEMANTIC, PIPED)
ENDPOINT: Final = "torture-embed"
# Where a bulk updates another index, too, Elasticsearch itself runs no pipelines for some updates.
_ACTIONS: Final = {
    SEMANTIC: ("index", "index", "create", "update"),
    PIPED: ("index", "index", "create"),
}
_SIZES: Final = {3: 6, 40: 3, 400: 1}  # items of a bulk, and how often
_WORDS: Final = {20: 6, 400: 1}  # of a text; the longest have several chunks
_LATER: Final = frozenset((429, 500, 502, 503, 504))
_OUTAGE: Final = 180.0  # seconds without any answer that are tolerated


def embed(call: Call) -> Reply:
    """A provider whose vectors say what they are of."""
    return json_reply([vector_of(text) for text in call.json["inputs"]])


@dataclass(slots=True)
class Fate:
    """What is known of a document."""

    acknowledged: str | None = None  # its text
    possible: set[str] = field(default_factory=set)  # texts of later writes without an answer


@dataclass(slots=True, kw_only=True)
class Item:
    action: str
    index: str
    id: str | None  # None for one that Elasticsearch names; it is not sent again
    text: str
    is_repeated: bool = False

    def lines(self) -> bytes:
        meta = {"_index": self.index, **({} if self.id is None else {"_id": self.id})}
        source: dict[str, Any] = {"body": self.text}
        if self.action == "update":
            source = {"doc": source, "doc_as_upsert": True}
        return b"%b\n%b\n" % (orjson.dumps({self.action: meta}), orjson.dumps(source))


@dataclass(slots=True)
class Ledger:
    """What all callers of a round have been told."""

    fates: dict[tuple[str, str], Fate] = field(default_factory=dict)  # by index and id
    nameless: dict[tuple[str, str], bool] = field(default_factory=dict)  # by index and text: known
    faults: list[str] = field(default_factory=list)
    figures: Counter[str] = field(default_factory=Counter)

    def acknowledge(self, item: Item) -> None:
        self.figures["acknowledged"] += 1
        if item.id is None:
            self.nameless[item.index, item.text] = True
        else:
            self.fates[item.index, item.id] = Fate(item.text)

    def doubt(self, item: Item) -> None:
        """It may have been written, now or later."""
        self.figures["unknown"] += 1
        if item.id is None:
            self.nameless.setdefault((item.index, item.text), False)
        else:
            self.fates.setdefault((item.index, item.id), Fate()).possible.add(item.text)


@dataclass(slots=True, kw_only=True)
class Writer:
    """One caller: sends random bulks, one after another."""

    name: str
    session: ClientSession  # with the middleware `once`
    urls: Sequence[str]
    ledger: Ledger
    random: random.Random
    known: dict[str, list[str]] = field(default_factory=dict)  # ids written so far, by index
    count: int = 0

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self._write(list(self._items()))

    def _items(self) -> Iterator[Item]:
        (size,) = self.random.choices(list(_SIZES), list(_SIZES.values()))
        used: set[str] = set()
        for _ in range(size):
            index = self.random.choice(INDICES)
            action = self.random.choice(_ACTIONS[index])
            known = self.known.setdefault(index, [])
            self.count += 1
            document_id: str | None = f"{self.name}-{self.count}"
            if action == "index" and self.random.random() < 0.1:
                document_id = None
            elif action != "create" and known and self.random.random() < 0.5:
                document_id = self.random.choice(known)
            if document_id is not None:
                if document_id in used:
                    continue
                used.add(document_id)
                known.append(document_id)
            yield Item(action=action, index=index, id=document_id, text=self._text())

    def _text(self) -> str:
        (words,) = self.random.choices(list(_WORDS), list(_WORDS.values()))
        own = f"{self.name} {self.count}"
        return f"{own} " + " ".join(f"w{self.random.randrange(999)}" for _ in range(words)) + "."

    async def _write(self, items: list[Item]) -> None:
        """Send items until all have an answer."""
        deadline = time.monotonic() + _OUTAGE
        while items:
            answers = await self._send(items)
            again = []
            for item, answer in zip(items, answers or [{"status": 503}] * len(items), strict=True):
                if self._is_settled(item, answer):
                    continue
                item.is_repeated = True
                again.append(item)
            if again and time.monotonic() > deadline:
                raise TimeoutError(f"no answer for {_OUTAGE:.0f} seconds")
            if again:
                await asyncio.sleep(0.3)
            items = again

    def _is_settled(self, item: Item, answer: dict[str, Any]) -> bool:
        """Take note of an item's answer; whether it is not to be sent again."""
        status = answer["status"]
        if status in (200, 201) or (status == 409 and item.action == "create" and item.is_repeated):
            self.ledger.acknowledge(item)
            return True
        self.ledger.doubt(item)
        if status not in _LATER and status != 409:
            self.ledger.faults.append(f"{item.action} {item.index}/{item.id} was told {answer}")
            return True
        return item.id is None

    async def _send(self, items: Sequence[Item]) -> list[dict[str, Any]] | None:
        """The answers to items; None if nobody knows."""
        body = b"".join(item.lines() for item in items)
        headers = {"Content-Type": "application/x-ndjson"}
        url = f"{self.random.choice(self.urls)}/_bulk"
        self.ledger.figures["bulks"] += 1
        try:
            async with self.session.post(url, data=body, headers=headers) as reply:
                told = orjson.loads(await reply.read())
        except (ClientConnectorError, NoAnswer, ClientError, TimeoutError, ValueError):
            return None
        if reply.status == 200:
            return [next(iter(entry.values())) for entry in told["items"]]
        if reply.status not in _LATER:
            self.ledger.faults.append(f"a bulk was told {reply.status} {told}")
        return None
