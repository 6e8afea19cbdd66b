"""Where the separators of the strategy `recursive` match.

Separators are regular expressions of Java, given by users. A text may be matched for a bounded time
only, because a pattern can take exponential time and Python's own matcher cannot be stopped.
Those that Elasticsearch names itself are replaced by equal ones that take linear time.
Source: RecursiveChunker.splitTextBySeparatorRegex; SeparatorGroup.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, Protocol

import regex

from proxy.ground.errors import IllegalArgument
from proxy.inference.chunking import SEPARATORS
from proxy.semantic.javaregex.translate import compile_java

_BASE_SECONDS: Final = 0.5  # of processor time, for all separators together
_SECONDS_PER_CHARACTER: Final = 0.25e-6
_TURN: Final = 0.02  # seconds of one search with the interpreter's lock held
_LITERAL: Final = re.compile(r"[^\\^$.|?*+()\[\]{}]+")


class Budget:
    """The processor time that matching may take for one text, whatever else is done with it."""

    def __init__(self, length: int) -> None:
        self.left = _BASE_SECONDS + length * _SECONDS_PER_CHARACTER

    def spend(self, since: float, pattern: str) -> None:
        """Take off the time since then. Raises: IllegalArgument when nothing is left."""
        self.left -= time.thread_time() - since
        if self.left <= 0:
            raise too_slow(pattern)


class Separator(Protocol):
    def starts(self, text: str, budget: Budget) -> Iterator[int]:
        """Where each match begins, ascending; lookbehinds do not see past the text's start.

        Raises: IllegalArgument when the time is up.
        """
        ...


def too_slow(pattern: str) -> IllegalArgument:
    return IllegalArgument(f"[separators] pattern [{pattern}] takes too long to match the text")


@lru_cache(maxsize=256)
def separator(pattern: str) -> Separator:
    """The separator for a pattern of Java. Raises: PatternSyntax."""
    if (known := _KNOWN.get(pattern)) is not None:
        return known
    return _Literal(pattern) if _LITERAL.fullmatch(pattern) else _Pattern(pattern)


class _Literal:
    """A pattern without any syntax."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern

    def starts(self, text: str, budget: Budget) -> Iterator[int]:
        at = self._find(text, 0, budget)
        while at >= 0:
            yield at
            at = self._find(text, at + len(self._text), budget)

    def _find(self, text: str, at: int, budget: Budget) -> int:
        begun = time.thread_time()  # there may be thousands of separators that do not occur
        found = text.find(self._text, at)
        budget.spend(begun, self._text)
        return found


class _Linear:
    """A pattern known to take linear time, and to match no empty text.

    Where the hint does not match, nor does the pattern.
    """

    def __init__(self, pattern: str, hint: str) -> None:
        self._pattern = re.compile(pattern)
        self._hint = re.compile(hint)

    def starts(self, text: str, budget: Budget) -> Iterator[int]:
        if self._hint.search(text) is None:
            return iter(())
        return map(re.Match.start, self._pattern.finditer(text))


class _Pattern:
    """Any other pattern."""

    def __init__(self, pattern: str) -> None:
        self._java = pattern
        self._pattern = compile_java(pattern)

    def starts(self, text: str, budget: Budget) -> Iterator[int]:
        at = 0
        while at <= len(text) and (found := self._search(text, at, budget)) is not None:
            yield found.start()
            # As Java goes on: after an empty match, one character later.
            at = found.end() + (found.end() == found.start())

    def _search(self, text: str, at: int, budget: Budget) -> regex.Match[str] | None:
        """The next match; what takes longer than a moment is done without the lock."""
        begun = time.thread_time()
        try:
            try:
                turn = min(budget.left, _TURN)
                found = self._pattern.search(text, at, timeout=turn, concurrent=False)
            except TimeoutError:
                found = self._pattern.search(text, at, timeout=budget.left, concurrent=True)
        except (TimeoutError, MemoryError):  # it keeps all ways back that it may have to go
            raise too_slow(self._java) from None
        budget.spend(begun, self._java)
        return found


_BLANK_LINE: Final = r"[ \t\x0b\f]*+(?:[\n\r\x85\u2028\u2029]|\Z)"
_HEADING: Final = rf"\n(?!{_BLANK_LINE})[^\n\r\x85\u2028\u2029]*+"
_PARAGRAPH, _LINE = SEPARATORS["plaintext"]
_UNDERLINED_BY_HYPHENS, _UNDERLINED_BY_EQUALS = SEPARATORS["markdown"][-2:]
_KNOWN: Final = {
    _PARAGRAPH: _Linear(r"\n(?<!\n\n)\n(?!\n)", r"\n\n"),
    _LINE: _Linear(r"\n(?<!\n\n)(?!\n)", r"\n"),
    _UNDERLINED_BY_HYPHENS: _Linear(rf"{_HEADING}\n-++\n", r"\n-++\n"),
    _UNDERLINED_BY_EQUALS: _Linear(rf"{_HEADING}\n=++\n", r"\n=++\n"),
}
