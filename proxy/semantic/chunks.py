"""The chunks of hits: their texts, and which of them are nearest to what was searched for.

Elasticsearch scores the chunks of a hit exactly, and not by the quantised vectors that found it. So
their vectors are read, and scored here. Source: SemanticTextHighlighter.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from proxy.ground.frames import forget_frames
from proxy.ground.largeanswers import AnswerTooLarge
from proxy.limits.threads import offload
from proxy.semantic import layout
from proxy.semantic.answerjson import object_of
from proxy.semantic.answers import hits_of
from proxy.semantic.chunking.offsets import Chunk, Utf16Text
from proxy.semantic.clauses import in_indices
from proxy.semantic.fields import SemanticField
from proxy.semantic.highlights import Highlight, Shown
from proxy.semantic.ports import UpstreamAnswer
from proxy.semantic.values import texts_there

_AT_ONCE: Final = 16384  # bytes of chunks that are scored on the event loop

Ask = Callable[[Mapping[str, Any]], Awaitable[UpstreamAnswer]]
Hit = dict[str, Any]


@dataclass(slots=True)
class VectorSources:
    """Whether the upstream has to be asked for the vectors of a source, as it has to from 9.2."""

    on_request: bool = True


class _Document:
    """A hit's document, as far as its chunks need it."""

    def __init__(self, source: Mapping[str, Any]) -> None:
        self._source = source
        self._texts: dict[str, Utf16Text] = {}

    def chunks(self, one: SemanticField) -> Sequence[Mapping[str, Any]]:
        below = self._source.get(layout.CONTAINER, {}).get(layout.key_of(one.path), {})
        chunks = below.get(layout.CHUNKS) or []
        return chunks if isinstance(chunks, list) else [chunks]

    def text(self, chunk: Mapping[str, Any]) -> str:
        source = chunk["field"]
        if source not in self._texts:
            self._texts[source] = Utf16Text("\0".join(texts_there(self._source, source)))
        return self._texts[source].cut(Chunk(chunk["start"], chunk["end"]))


async def show(shown: Shown, hits: Sequence[Hit], ask: Ask, sources: VectorSources) -> None:
    """Add to hits what the search asked for. Raises: UpstreamError."""
    for hit in hits:
        _hide_unnamed(shown, hit)
    concerned = [hit for hit in hits if any(True for _ in _fields(shown, hit))]
    if not concerned:
        return
    await _show_some(shown, concerned, ask, sources)


async def _show_some(shown: Shown, hits: Sequence[Hit], ask: Ask, sources: VectorSources) -> None:
    """As `show`, in several steps where the vectors of all hits are too much at once."""
    try:
        answer = await _documents(shown, hits, ask, sources)
    except AnswerTooLarge as error:
        if len(hits) == 1:
            raise
        forget_frames(error)
    else:
        if answer is not None:
            await offload(len(answer.body), _AT_ONCE, lambda: _show(shown, hits, answer))
        return
    half = len(hits) // 2
    await _show_some(shown, hits[:half], ask, sources)
    await _show_some(shown, hits[half:], ask, sources)


def _hide_unnamed(shown: Shown, hit: Hit) -> None:
    """Take out what the upstream found in the text of fields that only a pattern stands for."""
    if not (highlight := hit.get("highlight")):
        return
    for name, found in shown.unnamed.items():
        if hit.get("_index") in found:
            highlight.pop(name, None)
    if not highlight:
        del hit["highlight"]


def _fields(shown: Shown, hit: Hit) -> Iterator[SemanticField]:
    """The semantic fields of a hit that are to be shown; hits in nested fields have none."""
    index = str(hit.get("_index")) if "_nested" not in hit else ""
    for found in (*(one.found for one in shown.highlights), *shown.chunks.values()):
        if index in found:
            yield found[index]


async def _documents(
    shown: Shown, hits: Sequence[Hit], ask: Ask, sources: VectorSources
) -> UpstreamAnswer | None:
    """The sources of hits with their vectors; None where the upstream does not give them."""
    needs_vectors = any(one.vector is not None for each in shown.highlights for one in each.sought)
    for _ in range(2):
        answer = await ask(_question(shown, hits, on_request=sources.on_request))
        vectors = b'"%b"' % layout.VECTOR.encode()
        if answer.status < 300 and (vectors in answer.body or not needs_vectors):
            return answer
        if answer.status >= 300 and answer.status != 400:
            return None
        sources.on_request = not sources.on_request  # the upstream is an older, or a newer one
    return None


def _question(shown: Shown, hits: Sequence[Hit], *, on_request: bool) -> dict[str, Any]:
    ids: dict[str, list[str]] = {}
    includes: dict[str, None] = {}
    for hit in hits:
        ids.setdefault(hit["_index"], []).append(hit["_id"])
        for one in _fields(shown, hit):
            includes[layout.chunks_path(one.path)] = None
            includes.update(dict.fromkeys(one.sources))
    filters = [
        {"bool": {"filter": [in_indices([index]), {"ids": {"values": values}}]}}
        for index, values in ids.items()
    ]
    source: dict[str, Any] = {"includes": list(includes)}
    if on_request:
        source["exclude_vectors"] = False
    return {
        "size": len(hits),
        "track_total_hits": False,
        "query": {"bool": {"filter": [{"bool": {"should": filters}}]}},
        "_source": source,
    }


def _show(shown: Shown, hits: Sequence[Hit], answer: UpstreamAnswer) -> None:
    documents = {_key(one): _Document(one.get("_source", {})) for one in hits_of(object_of(answer))}
    for hit in hits:
        document = documents.get(_key(hit))
        if document is None:
            continue
        index = hit["_index"]
        for highlight in shown.highlights:
            if index in highlight.found:
                _highlight(hit, highlight, highlight.found[index], document)
        for name, found in shown.chunks.items():
            if index in found:
                texts = [document.text(one) for one in document.chunks(found[index])]
                if texts:
                    hit.setdefault("fields", {})[name] = texts


def _key(hit: Hit) -> tuple[Any, ...]:
    return hit["_index"], hit["_id"], hit.get("_routing")


def _highlight(hit: Hit, highlight: Highlight, one: SemanticField, document: _Document) -> None:
    best = _best(highlight, one, hit["_index"], document.chunks(one))
    if best:
        hit.setdefault("highlight", {})[highlight.name] = [document.text(chunk) for chunk in best]
    elif highlight.name in hit.get("highlight", {}):  # words that the upstream found in the text
        del hit["highlight"][highlight.name]


def _best(
    highlight: Highlight, one: SemanticField, index: str, chunks: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The chunks to show, of those that have a vector."""
    sought = [each for each in highlight.sought if each.scores(index, one)]
    if not sought or one.model is None:
        return []
    scored = []
    for number, chunk in enumerate(chunks):
        total = 0.0
        for each in sought:
            if each.vector is None:
                total += 1.0
            else:
                total += one.model.score(each.vector, chunk.get(layout.VECTOR))
        scored.append((-total, number))
    best = sorted(scored)[: highlight.number]
    if not highlight.by_score:
        best.sort(key=lambda one: one[1])
    return [chunks[number] for _, number in best]
