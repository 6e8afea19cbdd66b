"""Words of plain text in Latin letters, by a regular expression: the same breaks as ICU's, faster.

Most texts are of this kind. Characters that combine with others are not: marks, formats, emoji with
joiners, scripts that are split by dictionary.
Source: UAX #29, table 3, for the classes that are left: letters, digits, low lines, what may stand
between two letters or two digits, line ends and the space.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

_OTHER_PLAIN: Final = (
    r"\x80-\xac\xae-\xb7\xb9-\u017f\u2010-\u2015\u2018-\u201f\u2022\u2026\u20ac\u2122"
)
_PLAIN: Final = re.compile(rf"[\x00-\x7f{_OTHER_PLAIN}]*")


def _words(letter: str, between: str, between_letters: str) -> re.Pattern[str]:
    """`between` may stand between two letters or two digits, the other between letters only."""
    part = f"[{letter}0-9_]++"
    joint = f"(?<=[{letter}])[{between}{between_letters}](?=[{letter}])"
    joint += f"|(?<=[0-9])[{between},;](?=[0-9])"
    return re.compile(f"(?!_(?![{letter}0-9_])){part}(?:(?:{joint}){part})*+")


_ASCII_WORD: Final = _words("a-zA-Z", "'.", ":")
_WORD: Final = _words(
    r"a-zA-Z\xaa\xb5\xba\xc0-\xd6\xd8-\xf6\xf8-\u017f", r"'.\u2018\u2019", r":\xb7"
)
_SPACES: Final = re.compile(" +")
# What joins two words into one.
_ASCII_JOINT: Final = re.compile(
    "['.:,;](?:(?<=[a-zA-Z]['.:])(?=[a-zA-Z])|(?<=[0-9]['.,;])(?=[0-9]))"
)
# Letters and digits alike, and all else of ASCII.
_KINDS: Final = bytes(ord("a" if chr(code).isalnum() else " ") for code in range(128)) + bytes(128)
_APART: Final = frozenset((". ", "! ", "? "))  # ends of sentences that no word touches
_AT_ONCE: Final = 64 * 1024  # characters; the interpreter's lock is held meanwhile


def is_plain(text: str) -> bool:
    return text.isascii() or _PLAIN.fullmatch(text) is not None


def plain_word_ends(text: str, start: int, end: int) -> Iterator[int]:
    """Where the words of a plain part of a text end, ascending; other segments are left out."""
    word = _ASCII_WORD if text.isascii() else _WORD
    return map(re.Match.end, word.finditer(text, start, end))


def plain_break_after(text: str, at: int) -> int:
    """The end of the segment that begins at `at`, which no word does."""
    match text[at : at + 2]:
        case "":
            return at
        case "\r\n":
            return at + 2
    if text[at] == " " and (spaces := _SPACES.match(text, at)):
        return spaces.end()
    return at + 1


def plain_word_counts(text: str, ends: Sequence[int]) -> list[int] | None:
    """How many words each sentence of a text has; None where only their places can tell.

    That is most of what chunking takes, and counting is several times as fast as finding words.
    """
    if len(text) > _AT_ONCE or "_" in text or not text.isascii():
        return None
    kinds = text.encode().translate(_KINDS)
    has_joints = _ASCII_JOINT.search(text) is not None
    counts = []
    start = 0
    for end in ends:
        if start and text[start - 2 : start] not in _APART:
            return None
        count = kinds.count(b"a ", start, end) + kinds.endswith(b"a", start, end)
        if has_joints:
            count -= len(_ASCII_JOINT.findall(text, start, end))
        counts.append(count)
        start = end
    return counts
