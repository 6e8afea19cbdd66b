"""The strategy `sentence`: as many whole sentences as fit.

Source: SentenceBoundaryChunker.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from proxy.semantic.chunking.breaks import sentence_ends
from proxy.semantic.chunking.offsets import Span
from proxy.semantic.chunking.plainwords import plain_word_counts
from proxy.semantic.chunking.word import word_spans
from proxy.semantic.chunking.words import Words

_MOST_REPEATED: Final = 20  # words


def sentence_spans(
    text: str, size: int, *, overlap: bool, words: Words | None = None
) -> list[Span]:
    """Spans of whole sentences with at most `size` words.

    With `overlap`, a span begins with the last sentence of the one before it, or the end of that
    sentence. A sentence that is longer than `size` is split by words, and these pieces overlap in
    any case. There is always a span, also for an empty text. `words` are those of the text, if they
    are known.
    """
    return _Packing(text, size, overlap, words).spans()


class _Packing:
    """The spans that are done, and the one that is open."""

    def __init__(self, text: str, size: int, overlap: bool, words: Words | None) -> None:
        self._known_words = words
        self._text = text
        self._size = size
        self._overlap = overlap
        self._spans: list[Span] = []
        self._start = 0  # of the open span
        self._count = 0  # its words

    def spans(self) -> list[Span]:
        size = self._size
        sentence = 0  # where it begins
        last = (0, 0)  # start and words of the sentence before
        for end, words in self._sentences():
            if self._count + words <= size:
                self._count += words
            elif self._close(sentence, words, last) > size:
                self._split(end)
            last = sentence, words
            sentence = end
        if self._count > 0 or not self._spans:
            self._spans.append((self._start, len(self._text)))
        return self._spans

    @property
    def _words(self) -> Words:
        if self._known_words is None:
            self._known_words = Words(self._text)
        return self._known_words

    def _sentences(self) -> Iterable[tuple[int, int]]:
        """Where sentences end, and how many words each has."""
        ends = list(sentence_ends(self._text))
        counts = plain_word_counts(self._text, ends)
        return self._words.counts(0, ends) if counts is None else zip(ends, counts, strict=True)

    def _close(self, sentence: int, words: int, last: tuple[int, int]) -> int:
        """End the open span, and begin another with a sentence that did not fit.

        Returns the words that decide whether what is open now is too long.
        """
        if self._count == 0:
            return words
        self._spans.append((self._start, sentence))
        if not self._overlap:
            self._start, self._count = sentence, words
            return words
        last_start, last_words = last
        if last_words + words <= self._size:
            self._start, self._count = last_start, last_words + words
        else:
            skipped = max(last_words - min(self._size // 2, _MOST_REPEATED), 0)
            self._start = self._words.skip(last_start, skipped)
            self._count = last_words - skipped + words
        return self._count

    def _split(self, end: int) -> None:
        """Split what is open by words; the last piece stays open."""
        overlap = min(_MOST_REPEATED, (self._size - 1) // 2)
        *full, rest = word_spans(self._text[self._start : end], self._size, overlap)
        offset = self._start
        self._spans += [(offset + piece.span[0], offset + piece.span[1]) for piece in full]
        self._start = offset + rest.span[0]
        self._count = rest.words
