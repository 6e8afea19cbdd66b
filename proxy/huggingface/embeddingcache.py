"""Embeddings that are kept, so that a provider is not asked twice about the same text.

They are kept by a hash of the endpoint, the revision of its stored record, and the text as it was
sent; the texts themselves are not kept. An endpoint that was changed, or deleted and made anew, has
another revision, and finds nothing. Nor does the hash tell a text to who can only guess it, as
revisions are random, and known to those only who can read the store.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final, Generic, Protocol, TypeVar

import orjson

from proxy.ground import freshness
from proxy.ground.authorization import confirm, is_confirmed
from proxy.huggingface.batching import Batch, Text
from proxy.inference.endpoints import InferenceEndpoint
from proxy.inference.results import SparseVector
from proxy.limits.deadline import Deadline
from proxy.limits.memory import reserve
from proxy.limits.threads import offload
from proxy.telemetry.metrics import Metrics
from proxy.xcontent.numbers import Numbers

T = TypeVar("T")
Send = Callable[[InferenceEndpoint, list[Text], Deadline], Awaitable[list[T]]]

# Bytes of memory of an entry besides its value, as measured: a key, objects, a place in the order.
OVERHEAD: Final = 256
# What a request takes for each byte that it finds: the cache may drop it meanwhile, and it is in
# the answer, too.
_PER_BYTE: Final = 2
_QUICKLY_HASHED: Final = 256 * 1024  # characters of texts
_AT_HAND: Final = 16 * 1024  # characters of texts; of more, it takes some time to find out
_QUICKLY_READ: Final = 8192  # bytes that have to be parsed


class Tier(Protocol):
    """Where more is kept than memory holds."""

    async def find(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """What is kept for some of the keys. Never raises."""

    def keep(self, key: bytes, value: bytes) -> None:
        """Keep it, some time soon."""


class Memory:
    """The values that were used last, up to so many bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._values: OrderedDict[bytes, bytes] = OrderedDict()  # the one used last at the end
        self.size = 0  # bytes

    def find(self, key: bytes) -> bytes | None:
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def keep(self, key: bytes, value: bytes) -> None:
        if (old := self._values.pop(key, None)) is not None:
            self.size -= len(old) + OVERHEAD
        if (size := len(value) + OVERHEAD) > self._max_bytes:
            return
        self._values[key] = value
        self.size += size
        while self.size > self._max_bytes:
            _, dropped = self._values.popitem(last=False)
            self.size -= len(dropped) + OVERHEAD


class EmbeddingCache:
    """What is kept for all endpoints and tasks of a process, in memory and maybe in a file."""

    def __init__(self, memory: Memory, file: Tier | None) -> None:
        self.memory = memory
        self._file = file
        # Texts, by where their embeddings came from.
        self.from_memory = 0
        self.from_file = 0
        self.from_provider = 0
        self.bypassed = 0

    def show(self, metrics: Metrics) -> None:
        """Add what is counted to the figures."""
        metrics.add_counter(
            "embedding_cache_texts",
            "Texts to be embedded, by where their embeddings came from",
            "source",
            {
                "memory": lambda: self.from_memory,
                "file": lambda: self.from_file,
                "provider": lambda: self.from_provider,
                "bypassed": lambda: self.bypassed,
            },
        )
        metrics.add_gauge(
            "embedding_cache_bytes",
            "Memory of embeddings that are kept, as estimated",
            lambda: self.memory.size,
        )

    def find_all(self, keys: Sequence[bytes]) -> list[bytes] | None:
        """What memory holds for all keys, in their order; None if `find` has to be asked."""
        if freshness.is_wanted():
            return None
        found = []
        for key in keys:
            if (value := self.memory.find(key)) is None:
                return None
            found.append(value)
        self.from_memory += len(keys)
        return found

    async def find(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """What is kept for some of the keys; the texts of the others are the provider's."""
        if freshness.is_wanted():
            self.bypassed += len(keys)
            return {}
        found = {key: value for key in keys if (value := self.memory.find(key)) is not None}
        missing = [key for key in dict.fromkeys(keys) if key not in found]
        there = await self._file.find(missing) if missing and self._file is not None else {}
        for key, value in there.items():
            self.memory.keep(key, value)
        self.from_memory += sum(key in found for key in keys)
        self.from_file += len(there)
        self.from_provider += len(missing) - len(there)  # a text that is repeated is sent once
        return found | there

    def keep(self, items: Iterable[tuple[bytes, bytes]]) -> None:
        for key, value in items:
            self.memory.keep(key, value)
            if self._file is not None:
                self._file.keep(key, value)


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """How the results of a task are written for the cache, and read again."""

    pack: Callable[[T], bytes]
    unpack: Callable[[bytes], T]
    is_quick: bool  # whether unpacking looks at nothing


class CachedTask(Generic[T]):
    """Results for texts: those that are kept, and the provider's for the rest."""

    def __init__(self, cache: EmbeddingCache, codec: Codec[T]) -> None:
        self._cache = cache
        self._codec = codec

    def at_hand(self, endpoint: InferenceEndpoint, texts: Sequence[Text]) -> list[T] | None:
        """Results that memory holds for a few texts; None if there is more to be done.

        Raises: MemoryShort.
        """
        length = sum([len(text.text) for text in texts])
        if endpoint.revision is None or length > _AT_HAND or not is_confirmed():
            return None
        found = self._cache.find_all(keys_of(endpoint, texts))
        if found is None:
            return None
        reserve(sum(map(len, found)) * _PER_BYTE)
        return [*map(self._codec.unpack, found)]

    def over(self, send: Send[T]) -> Send[T]:
        """What sends only texts for which nothing is kept."""
        return partial(self._results, send)

    async def _results(
        self, send: Send[T], endpoint: InferenceEndpoint, texts: list[Text], deadline: Deadline
    ) -> list[T]:
        if endpoint.revision is None:
            return await send(endpoint, texts, deadline)
        length = sum([len(text.text) for text in texts])
        keys = await offload(length, _QUICKLY_HASHED, lambda: keys_of(endpoint, texts))
        kept = await self._cache.find(keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in kept}
        if missing:
            sent = await send(endpoint, list(missing.values()), deadline)
            results = dict(zip(missing, sent, strict=True))
        else:
            await confirm()  # else whoever makes the call does
            results = {}
        results |= await self._unpacked(kept)
        return [results[key] for key in keys]

    async def _unpacked(self, kept: dict[bytes, bytes]) -> dict[bytes, T]:
        size, unpack = sum(map(len, kept.values())), self._codec.unpack
        reserve(size * _PER_BYTE)
        at_once = size if self._codec.is_quick else _QUICKLY_READ
        return await offload(
            size, at_once, lambda: {key: unpack(value) for key, value in kept.items()}
        )

    def keep(self, endpoint: InferenceEndpoint, batch: Batch, results: list[T]) -> None:
        """Keep what a provider has answered about a batch, which is as it was sent."""
        if endpoint.revision is not None:
            keys = keys_of(endpoint, batch.texts)
            self._cache.keep(zip(keys, map(self._codec.pack, results), strict=True))


@lru_cache(64)
def _start(*whose: str | None) -> Any:
    """The hash of an endpoint and its revision, which is the beginning of that of each text."""
    return hashlib.sha256(f"{whose!r}\0".encode())


def keys_of(endpoint: InferenceEndpoint, texts: Sequence[Text]) -> list[bytes]:
    """What results for these texts are kept by: 32 bytes each."""
    start = _start(endpoint.inference_id, endpoint.revision, str(endpoint.task_type))
    keys = []
    for text in texts:
        key = start.copy()
        key.update(b"cut\0" if text.is_truncated else b"\0")
        key.update(text.text.encode("utf-8", "surrogatepass"))
        keys.append(key.digest())
    return keys


def _weights(json: bytes) -> SparseVector:
    values: list[Any] = orjson.loads(json)
    return SparseVector(values[0], values[1])


def _packed_weights(vector: SparseVector) -> bytes:
    return bytes(memoryview(orjson.dumps([vector.tokens, vector.is_truncated])))


VECTORS: Final[Codec[Numbers]] = Codec(lambda vector: vector.json, Numbers, is_quick=True)
WEIGHTS: Final[Codec[SparseVector]] = Codec(_packed_weights, _weights, is_quick=False)
