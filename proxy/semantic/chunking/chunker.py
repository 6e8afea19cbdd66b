"""The chunker for given settings.

Source: ChunkerBuilder; EmbeddingRequestChunker, for endpoints without settings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from proxy.ground.errors import IllegalArgument
from proxy.inference.chunking import ChunkingSettings
from proxy.semantic.chunking.offsets import Chunk, Span, Utf16Text
from proxy.semantic.chunking.recursive import recursive_spans
from proxy.semantic.chunking.sentence import sentence_spans
from proxy.semantic.chunking.separators import separator
from proxy.semantic.chunking.word import word_spans

# Of an endpoint that was stored without any, as before 8.16.
_UNSET: Final = ChunkingSettings(
    strategy="word", max_chunk_size=250, sentence_overlap=None, overlap=100
)


class Chunker(Protocol):
    def chunks(self, text: str) -> Sequence[Chunk]:
        """The chunks of a text, ascending, at least one; they never split a character.

        They cover the text but for what `word` leaves out at its end, and they may overlap. This
        takes processor time, about 0.1 s for a million characters: give texts of more than some
        64 KiB to a thread. Other threads get their turns meanwhile.
        Raises: IllegalArgument if matching `separators` takes too long.
        """
        ...


def chunker_for(settings: ChunkingSettings | None) -> Chunker:
    """The chunker of an endpoint or field; None stands for an endpoint stored without settings.

    Raises: PatternSyntax for a separator that is no pattern of Java, or has no equal here;
    IllegalArgument for an overlap that validated settings cannot have.
    """
    return _SpanChunker(_strategy(settings or _UNSET))


class _SpanChunker:
    def __init__(self, spans: Callable[[str], Sequence[Span]]) -> None:
        self._spans = spans

    def chunks(self, text: str) -> Sequence[Chunk]:
        counted = Utf16Text(text)
        return [counted.chunk(span) for span in self._spans(text)]


def _strategy(settings: ChunkingSettings) -> Callable[[str], Sequence[Span]]:
    size = settings.max_chunk_size
    if settings.strategy == "none" or size is None:
        return lambda text: [(0, len(text))]
    if settings.strategy == "word":
        overlap = settings.overlap or 0
        _check_overlap(size, overlap)
        return lambda text: [counted.span for counted in word_spans(text, size, overlap)]
    if settings.strategy == "recursive":
        separators = [separator(pattern) for pattern in settings.separators or ()]
        return lambda text: recursive_spans(text, size, separators)
    overlaps = bool(settings.sentence_overlap)
    return lambda text: sentence_spans(text, size, overlap=overlaps)


def _check_overlap(size: int, overlap: int) -> None:
    problem = "Invalid chunking parameters, overlap"
    if overlap > size // 2:
        raise IllegalArgument(
            f"{problem} [{overlap}] must be < chunk size / 2 [{size} / 2 = {size // 2}]"
        )
    if overlap < 0:
        raise IllegalArgument(f"{problem} [{overlap}] must be >= 0")
