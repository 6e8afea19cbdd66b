"""What a copy costs, before it is made: counted, or estimated from a sample of its documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from proxy.limits.threads import offload
from proxy.semantic.transfer.fields import Amount, Measure, complete
from proxy.semantic.transfer.original import Described, Document, count, sample
from proxy.semantic.transfer.peers import Peer, document
from proxy.xcontent.loading import load_json

SAMPLE: Final = 200  # documents
_PER_TOKEN: Final = 4  # characters, about
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The costs of a copy; `is_exact` where all documents were looked at."""

    documents: int
    total: Amount
    to_embed: Amount
    bytes: int | None  # of the original on disk, without replicas
    is_exact: bool
    batch: int  # texts of one call to the provider

    def lines(self) -> Iterator[str]:
        """For whoever decides."""
        about = "" if self.is_exact else "about "
        total, to_embed = self.total, self.to_embed
        yield f"documents: {self.documents:,}"
        yield (
            f"texts: {about}{total.texts:,}, characters: {about}{total.characters:,}, "
            f"chunks: {about}{total.chunks:,}"
        )
        kept = max(0, total.chunks - to_embed.chunks)
        yield f"vectors that are copied along: {about}{kept:,}"
        calls = -(-to_embed.chunks // self.batch)
        tokens = to_embed.characters // _PER_TOKEN
        yield (
            f"texts to embed: {about}{to_embed.chunks:,}, about {tokens:,} tokens, "
            f"in {about}{calls:,} calls of the provider"
        )
        if self.bytes is not None:
            yield f"disk: about {_size(self.bytes)}, as much as now, and as much for each replica"


async def estimate(peer: Peer, original: Described, batch: int) -> Estimate:
    """What copying an index costs. Raises: Refused, UpstreamError; ProxyError of its settings."""
    documents = await count(peer, original.name)
    found = await sample(peer, original.name, SAMPLE)
    measure = Measure(original.fields, await _chunking(peer, original))
    size = sum(len(one.source) for one in found)
    total, to_embed = await offload(size, 65536, lambda: _measured(found, original, measure))
    is_exact = len(found) == documents
    factor = documents / len(found) if found else 0.0
    return Estimate(
        documents=documents,
        total=_scaled(total, factor),
        to_embed=_scaled(to_embed, factor),
        bytes=await _bytes(peer, original.name),
        is_exact=is_exact,
        batch=batch,
    )


def _measured(
    found: Sequence[Document], original: Described, measure: Measure
) -> tuple[Amount, Amount]:
    total, to_embed = Amount(), Amount()
    for one in found:
        own = measure.of(one.content)
        total.add(own)
        if complete(one.content, one.inference, original.fields, {}) is None:
            to_embed.add(own)
    return total, to_embed


def _scaled(amount: Amount, factor: float) -> Amount:
    return Amount(
        texts=round(amount.texts * factor),
        characters=round(amount.characters * factor),
        chunks=round(amount.chunks * factor),
    )


async def _chunking(peer: Peer, original: Described) -> dict[str, Mapping[str, Any] | None]:
    """How the endpoints of the fields cut texts, as far as that is told."""
    found: dict[str, Mapping[str, Any] | None] = {}
    for inference_id in {one.inference_id for one in original.fields}:
        reply = await peer.ask("GET", f"/_inference/{quote(inference_id, safe='')}")
        if reply.status == 200:
            for endpoint in load_json(reply.body).get("endpoints", ()):
                found[inference_id] = endpoint.get("chunking_settings")
    return found


async def _bytes(peer: Peer, index: str) -> int | None:
    answer = await document(peer, "GET", f"/{quote(index, safe='')}/_stats/store")
    size = answer.get("_all", {}).get("primaries", {}).get("store", {}).get("size_in_bytes")
    return size if isinstance(size, int) else None


def _size(number: float) -> str:
    for unit in _UNITS:
        if number < 1000 or unit == _UNITS[-1]:
            return f"{number:.0f} {unit}" if number >= 10 or unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    raise AssertionError("the last unit is for all that is larger")
