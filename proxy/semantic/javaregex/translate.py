"""Patterns as a whole: sequences, groups, quantifiers, anchors.

What Python and Java write alike but mean differently is spelled out: line ends, `\\s` and its like,
case. What has no equal, or could make a pattern too large, is refused.
Source: java.util.regex.Pattern; chunking compiles with MULTILINE.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import regex

from proxy.semantic.javaregex.classes import bracketed, either_case, escaped_set, literal
from proxy.semantic.javaregex.scanner import Scanner

LONGEST: Final = 2_000  # characters of a pattern
_DEEPEST: Final = 30  # groups in groups
_LARGEST: Final = 5_000  # single steps, repetitions written out

_TERMINATORS: Final = r"\n\r\x85\u2028\u2029"
_DOT: Final = f"[^{_TERMINATORS}]"
_ANY: Final = "(?s:.)"
_LINE_START: Final = r"(?:(?:\A|(?<=[\n\x85\u2028\u2029])|(?<=\r)(?!\n))(?!\Z))"
_LINE_END: Final = r"(?:\Z|(?=[\r\x85\u2028\u2029])|(?<!\r)(?=\n))"
_LAST_LINE_END: Final = r"(?:(?=(?:\r\n|[\r\x85\u2028\u2029])?\Z)|(?<!\r)(?=\n\Z))"
# A word's character stands before or after: an ASCII one, or a mark on a letter or digit.
_BEFORE: Final = r"(?:(?<=[a-zA-Z0-9_])|(?<=[\p{L}\p{Nd}]\p{Mn}+))"
_AFTER: Final = r"(?:(?=[a-zA-Z0-9_])|(?<=[\p{L}\p{Nd}]\p{Mn}*)(?=\p{Mn}))"
_ANY_LINE_END: Final = r"\r\n|[\n\x0b\f\r\x85\u2028\u2029]"
_ESCAPES: Final[Mapping[str, str]] = {
    "A": r"\A",
    "z": r"\Z",
    "Z": _LAST_LINE_END,
    "b": f"(?:{_BEFORE}(?!{_AFTER})|(?!{_BEFORE}){_AFTER})",
    "B": f"(?:{_BEFORE}{_AFTER}|(?!{_BEFORE})(?!{_AFTER}))",
}
_LOOKING: Final = ("?:", "?=", "?!", "?>", "?<=", "?<!")
_QUANTIFIER: Final = re.compile(r"([*+?]|\{(\d+)(?:(,)(\d*))?\})([?+]?)")
_NAME: Final = re.compile("([A-Za-z][A-Za-z0-9]*)>")
_FLAGS: Final = re.compile("([a-zA-Z]*)(?:-([a-zA-Z]*))?([:)])")


@dataclass(frozen=True, slots=True)
class _Flags:
    ignore_case: bool = False
    multiline: bool = True
    dot_all: bool = False


@dataclass(frozen=True, slots=True)
class _Part:
    """Translated text, and how many steps it has with its repetitions written out."""

    text: str
    size: int = 1
    quantifiable: bool = True


def compile_java(pattern: str) -> regex.Pattern[str]:
    """The pattern, as Java would match it with the flag MULTILINE.

    Raises: PatternSyntax if it is none, or has no equal in Python, or is too large.
    """
    translation = _Translation(pattern, captures=True)
    text = translation.translate()
    if not translation.refers_back:  # what nobody asks for need not be remembered
        text = _Translation(pattern, captures=False).translate()
    try:
        return regex.compile(text, regex.VERSION1)
    except (regex.error, RecursionError):
        translation.scanner.fail("Pattern is not supported", -1)


class _Translation:
    def __init__(self, pattern: str, *, captures: bool) -> None:
        self.scanner = Scanner(pattern)
        self.refers_back = False
        self._captures = captures
        self._flags = _Flags()
        self._depth = 0
        self._groups = 0
        self._closed: set[int] = set()
        self._names: dict[str, int] = {}

    def translate(self) -> str:
        if len(self.scanner.pattern) > LONGEST:
            self.scanner.fail(f"Pattern is longer than [{LONGEST}] characters", -1)
        part = self._alternatives()
        if not self.scanner.ended:
            self.scanner.fail("Unmatched closing ')'", self.scanner.at - 1)
        return part.text

    def _alternatives(self) -> _Part:
        """Up to the end, or the bracket that closes the group."""
        parts = [self._sequence()]
        while self.scanner.takes("|"):
            parts.append(self._sequence())
        return _Part("|".join(part.text for part in parts), sum(part.size for part in parts))

    def _sequence(self) -> _Part:
        texts, size = [], 1
        while not self.scanner.ended and self.scanner.peek() not in ("|", ")"):
            part = self._atom()
            if part.quantifiable:
                part = self._quantified(part)
            texts.append(part.text)
            size += part.size
            if size > _LARGEST:
                self.scanner.fail("Pattern is too large", -1)
        return _Part("".join(texts), size)

    def _quantified(self, part: _Part) -> _Part:
        if self.scanner.peek() == "{" and not _QUANTIFIER.match(
            self.scanner.pattern, self.scanner.at
        ):
            self.scanner.fail("Illegal repetition", self.scanner.at)
        found = self.scanner.take_match(_QUANTIFIER)
        if found is None:
            return part
        quantifier, least, comma, most, kind = found.groups()
        times = 1
        if least is not None:
            times = max(int(least), int(most or 0), 1) if len(quantifier) < 16 else _LARGEST
            if comma and most and int(most) < int(least):
                self.scanner.fail("Illegal repetition range", self.scanner.at - 1)
        size = part.size * times + 1
        if size > _LARGEST:
            self.scanner.fail("Pattern is too large", -1)
        if self.scanner.peek() == "{":
            self.scanner.fail("A quantifier after another is not supported")
        return _Part(f"(?:{part.text}){quantifier}{kind}", size)

    def _atom(self) -> _Part:
        character = self.scanner.take()
        flags = self._flags
        match character:
            case "(":
                return self._group()
            case "[":
                return _Part(bracketed(self.scanner, ignore_case=flags.ignore_case))
            case "\\":
                return self._escape()
            case ".":
                return _Part(_ANY if flags.dot_all else _DOT)
            case "^":
                return _Part(_LINE_START if flags.multiline else r"\A")
            case "$":
                return _Part(_LINE_END if flags.multiline else _LAST_LINE_END)
            case "*" | "+" | "?":
                self.scanner.fail(f"Dangling meta character '{character}'", self.scanner.at - 1)
            case "{":
                self.scanner.fail("Illegal repetition", self.scanner.at)
        return self._character(ord(character))

    def _character(self, code: int) -> _Part:
        if self._flags.ignore_case:
            return _Part(f"[{either_case(code)}]")
        return _Part(literal(code))

    def _escape(self) -> _Part:
        """What follows a backslash."""
        scanner = self.scanner
        if scanner.takes("Q"):
            quoted = scanner.take_until("\\E")
            if quoted is None:
                quoted, scanner.at = scanner.pattern[scanner.at :], len(scanner.pattern)
            return self._quotation(quoted)
        name = scanner.peek()
        if name in _ESCAPES and scanner.peek(3) != "b{g":
            scanner.at += 1
            return _Part(_ESCAPES[name])
        if not name:
            scanner.fail("Unescaped trailing backslash")
        if name == "R":
            scanner.at += 1
            repeated = scanner.peek() in ("*", "+", "?", "{")  # `\r\n` is never taken for two
            return _Part(f"(?{'>' if repeated else ':'}{_ANY_LINE_END})")
        if name in tuple("123456789"):
            return self._numbered_reference()
        if scanner.takes("k<"):
            return self._named_reference()
        if (named := escaped_set(scanner, ignore_case=self._flags.ignore_case)) is not None:
            return _Part(named)
        code = scanner.take_escaped_character()
        if code is None:
            scanner.fail("Illegal/unsupported escape sequence")
        return self._character(code)

    def _quotation(self, quoted: str) -> _Part:
        """Characters that mean themselves; a quantifier belongs to the last one."""
        if not quoted:
            return _Part("", quantifiable=False)
        *first, last = (self._character(ord(character)).text for character in quoted)
        part = self._quantified(_Part(last))
        return _Part("".join([*first, part.text]), len(first) + part.size, quantifiable=False)

    def _numbered_reference(self) -> _Part:
        number = int(self.scanner.take())
        while self.scanner.peek().isdecimal() and self.scanner.peek().isascii():
            longer = number * 10 + int(self.scanner.peek())
            if longer > self._groups:
                break
            number = longer
            self.scanner.at += 1
        return self._reference(number)

    def _named_reference(self) -> _Part:
        name = self.scanner.take_match(_NAME)
        number = self._names.get(name[1]) if name else None
        if number is None:
            self.scanner.fail("Unknown group name", self.scanner.at - 1)
        return self._reference(number)

    def _reference(self, number: int) -> _Part:
        if number not in self._closed or self._flags.ignore_case:
            self.scanner.fail("Back reference is not supported here", self.scanner.at - 1)
        self.refers_back = True
        return _Part(f"\\g<{number}>", 10)

    def _group(self) -> _Part:
        """A group whose opening bracket has been taken."""
        scanner, flags = self.scanner, self._flags
        self._depth += 1
        if self._depth > _DEEPEST:
            scanner.fail("Groups nested too deeply")
        number = 0
        opening = next((start for start in _LOOKING if scanner.takes(start)), "")
        if not opening and scanner.takes("?<"):
            number = self._new_group(named=True)
        elif not opening and scanner.takes("?"):
            if self._takes_flags():  # for the rest of the group around it
                self._depth -= 1
                return _Part("", quantifiable=False)
            opening = "?:"
        elif not opening:
            number = self._new_group(named=False)
        part = self._alternatives()
        if not scanner.takes(")"):
            scanner.fail("Unclosed group", len(scanner.pattern))
        self._closed.add(number)
        self._flags = flags
        self._depth -= 1
        if number and not self._captures:
            opening = "?:"
        return _Part(f"({opening}{part.text})", part.size)

    def _new_group(self, *, named: bool) -> int:
        self._groups += 1
        if named:
            name = self.scanner.take_match(_NAME)
            if name is None or name[1] in self._names:
                self.scanner.fail("Bad name of a group")
            self._names[name[1]] = self._groups
        return self._groups

    def _takes_flags(self) -> bool:
        """Whether flags stand alone, as `(?i)`, rather than before a group, as `(?i:a)`."""
        found = self.scanner.take_match(_FLAGS)
        if found is None:
            self.scanner.fail("Unknown inline modifier")
        changed = {}
        for names, value in ((found[1], True), (found[2] or "", False)):
            for name in names:
                if name not in ("i", "m", "s"):
                    self.scanner.fail(f"Inline modifier [{name}] is not supported")
                flag = {"i": "ignore_case", "m": "multiline", "s": "dot_all"}[name]
                changed[flag] = value
        self._flags = replace(self._flags, **changed)
        return found[3] == ")"
