"""Reading a pattern from left to right."""

from __future__ import annotations

import re
from typing import Final, NoReturn

from proxy.ground.errors import PatternSyntax

_HEXADECIMAL: Final = re.compile("[0-9A-Fa-f]+")
_CONTROLS: Final = {"t": 0x09, "n": 0x0A, "r": 0x0D, "f": 0x0C, "a": 0x07, "e": 0x1B}
_HIGH: Final = range(0xD800, 0xDC00)
_LOW: Final = range(0xDC00, 0xE000)
LAST: Final = 0x10FFFF


class Scanner:
    """A pattern and how far it has been read."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0

    @property
    def ended(self) -> bool:
        return self.at >= len(self.pattern)

    def peek(self, length: int = 1) -> str:
        """The next characters, which stay; fewer at the end."""
        return self.pattern[self.at : self.at + length]

    def take(self) -> str:
        """The next character. Raises: PatternSyntax at the end."""
        if self.ended:
            self.fail("Unexpected end of the pattern")
        self.at += 1
        return self.pattern[self.at - 1]

    def takes(self, text: str) -> bool:
        """Whether `text` comes next; if so, it is taken."""
        found = self.pattern.startswith(text, self.at)
        self.at += len(text) if found else 0
        return found

    def take_match(self, wanted: re.Pattern[str]) -> re.Match[str] | None:
        """What matches here, taken; None if nothing does."""
        found = wanted.match(self.pattern, self.at)
        self.at = found.end() if found else self.at
        return found

    def take_until(self, closing: str) -> str | None:
        """The text before `closing`, both taken; None and nothing if it does not come."""
        end = self.pattern.find(closing, self.at)
        if end < 0:
            return None
        text = self.pattern[self.at : end]
        self.at = end + len(closing)
        return text

    def take_escaped_character(self) -> int | None:
        """The character that an escape stands for; the backslash has been taken.

        None, and nothing is taken, if the escape has another meaning than one character.
        Source: Pattern.escape, Pattern.o, Pattern.x, Pattern.u, Pattern.c.
        """
        name = self.peek()
        if name in _CONTROLS and name:
            self.at += 1
            return _CONTROLS[name]
        if name in ("0", "x", "u", "c") and name:
            self.at += 1
            return {"0": self._octal, "x": self._hexadecimal, "u": self._unit, "c": self._control}[
                name
            ]()
        if not name or (name.isascii() and name.isalnum()):
            return None
        self.at += 1
        return ord(name)

    def fail(self, problem: str, at: int | None = None) -> NoReturn:
        """Raises: PatternSyntax, in the form of Java's message."""
        at = self.at if at is None else at
        lines = [f"{problem} near index {at}" if at >= 0 else problem, self.pattern]
        if 0 <= at < len(self.pattern):
            lines.append(" " * at + "^")
        raise PatternSyntax("\n".join(lines))

    def _octal(self) -> int:
        found = self.take_match(re.compile("[0-3][0-7]{2}|[0-7]{1,2}"))
        if found is None:
            self.fail("Illegal octal escape sequence")
        return int(found[0], 8)

    def _hexadecimal(self) -> int:
        if self.takes("{"):
            digits = self.take_until("}")
            if digits is None or not _HEXADECIMAL.fullmatch(digits):
                self.fail("Unclosed hexadecimal escape sequence")
            if len(digits.lstrip("0")) > 6 or int(digits, 16) > LAST:
                self.fail("Hexadecimal codepoint is too big")
            return int(digits, 16)
        return self._digits(2, "Illegal hexadecimal escape sequence")

    def _unit(self) -> int:
        """Of `uXXXX`; two halves of a surrogate pair make one character."""
        first = self._digits(4, "Illegal Unicode escape sequence")
        if first in _HIGH and self.peek(2) == "\\u":
            start = self.at
            self.at += 2
            second = self._digits(4, "Illegal Unicode escape sequence")
            if second in _LOW:
                return 0x10000 + ((first - _HIGH.start) << 10) + (second - _LOW.start)
            self.at = start
        return first

    def _control(self) -> int:
        if self.ended:
            self.fail("Illegal control escape sequence")
        return ord(self.take()) ^ 64

    def _digits(self, count: int, problem: str) -> int:
        digits = self.peek(count)
        if len(digits) != count or not _HEXADECIMAL.fullmatch(digits):
            self.fail(problem)
        self.at += count
        return int(digits, 16)
