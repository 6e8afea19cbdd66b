"""Where words and sentences end: ICU's break iterators, for the root locale.

Positions are indexes of the Python string, which are the same whatever unit the binding counts in,
because they are summed from the lengths of the segments.

A text is given to ICU in blocks, so that memory stays small and other threads get their turns. That
changes nothing: a line feed ends a word and a sentence, whatever follows, and so does a space end a
word if a letter follows.
Source: UAX #29, rules WB3a, WB3b, WB999 and SB4; icu4py, which carries its own ICU.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import accumulate, chain, compress, islice
from typing import Final, TypeVar

import regex
from icu4py.breakers import SentenceBreaker, WordBreaker

T = TypeVar("T")
B = TypeVar("B", WordBreaker, SentenceBreaker)

_LOCALE: Final = "und"
_SENTENCE_BLOCK: Final = 64 * 1024  # characters, and what is left of the line
_WORD_BLOCK: Final = 2 * 1024  # characters, and what is left of the word
_BETWEEN_WORDS: Final = re.compile(r"\n| (?=[A-Za-z])")
_BATCH: Final = 4096  # segments taken at once; the interpreter's lock is held meanwhile
_SURROGATES: Final = regex.compile(r"[\ud800-\udfff]")

# What ICU's word rules give a status above WORD_NONE. The binding does not tell the status of a
# segment, but it follows from its characters: letters, digits, kana and ideographs; characters of
# scripts that are split by dictionary, but for lone marks; underscores, from two on.
_WORD: Final = regex.compile(
    r"""
      [\p{WB=ALetter}\p{WB=Hebrew_Letter}\p{WB=Numeric}\p{WB=Katakana}]
    | [\p{Script=Hiragana}\p{Ideographic}]
    | (?=\p{LB=SA}) [^\p{Mn}\p{Mc}]
    | \p{WB=ExtendNumLet} [\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]* \p{WB=ExtendNumLet}
    """,
    regex.VERSION1 | regex.VERBOSE,
)
# Segments that no rule with a status ends, whatever is in them: marks at the end, after a Hangul
# syllable or an underscore, and emoji that are joined to a word.
_UNMARKED: Final = regex.compile(
    r"""
      (?: [\uac00-\ud7a3] | \p{WB=ExtendNumLet} ) [\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]+ \Z
    | \p{WB=ZWJ} \p{ExtPict} [\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]* \Z
    """,
    regex.VERSION1 | regex.VERBOSE,
)


def word_blocks(text: str) -> Iterator[tuple[int, str]]:
    """The text in blocks that have no effect on each other's words, with where each begins.

    They are small, so that what is not plain does not slow down all of a text that mostly is.
    """
    start = 0
    if text.isascii() and text:
        yield start, text
        return
    while start < len(text):
        cut = _BETWEEN_WORDS.search(text, start + _WORD_BLOCK)
        end = cut.end() if cut else len(text)
        yield start, text[start:end]
        start = end


def sentence_blocks(text: str) -> Iterator[str]:
    """The text in blocks that have no effect on each other's sentences."""
    start = 0
    while start < len(text):
        line_feed = text.find("\n", start + _SENTENCE_BLOCK)
        end = len(text) if line_feed < 0 else line_feed + 1
        yield text[start:end]
        start = end


def batches(found: Iterator[T]) -> Iterator[list[T]]:
    """What an iterator in C finds, so much at a time that other threads get their turns."""
    while batch := list(islice(found, _BATCH)):
        yield batch


def word_breaks(block: str) -> Iterator[tuple[list[int], list[int]]]:
    """The ends of the segments between word breaks, and of those that are words; in batches."""
    is_word = _Words()
    at = 0
    # `chain`, as the breaker itself starts anew whenever it is iterated.
    for batch in batches(chain(_breaker(WordBreaker, block))):
        ends = list(accumulate(map(len, batch), initial=at))
        at = ends[-1]
        del ends[0]
        yield ends, list(compress(ends, map(is_word.__getitem__, batch)))


def sentence_ends(text: str) -> Iterator[int]:
    """The ends of all sentences, ascending; blanks after a sentence belong to it."""
    at = 0
    for block in sentence_blocks(text):
        for sentence in _breaker(SentenceBreaker, block):
            at += len(sentence)
            yield at


class _Words(dict[str, bool]):
    """Whether a segment is a word, remembered while one text is read."""

    def __missing__(self, segment: str) -> bool:
        found = self[segment] = bool(_WORD.search(segment)) and not _UNMARKED.search(segment)
        return found


def _breaker(kind: Callable[[str, str], B], text: str) -> B:
    try:
        return kind(text, _LOCALE)
    except (
        UnicodeEncodeError
    ):  # a lone surrogate, which ICU would break like the character put there
        return kind(_SURROGATES.sub("\ufffd", text), _LOCALE)
