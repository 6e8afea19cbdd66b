"""Sets of characters that have names, as `regex` writes them.

Source: java.util.regex.Pattern, CharPredicates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import regex

# What `\d` and its like mean without UNICODE_CHARACTER_CLASS: ASCII.
PREDEFINED: Final[Mapping[str, str]] = {
    "d": "0-9",
    "s": r" \t\n\x0b\f\r",
    "w": "a-zA-Z0-9_",
    "h": r" \t\xa0\u1680\u180e\u2000-\u200a\u202f\u205f\u3000",
    "v": r"\n\x0b\f\r\x85\u2028\u2029",
}
_POSIX: Final[Mapping[str, str]] = {
    "Lower": "a-z",
    "Upper": "A-Z",
    "ASCII": r"\x00-\x7f",
    "Alpha": "a-zA-Z",
    "Digit": "0-9",
    "Alnum": "a-zA-Z0-9",
    "Punct": r"!-/:-@\[-`{-~",
    "Graph": "!-~",
    "Print": r"\x20-~",
    "Blank": r" \t",
    "Cntrl": r"\x00-\x1f\x7f",
    "XDigit": "0-9a-fA-F",
    "Space": PREDEFINED["s"],
}
_CATEGORIES: Final = re.compile(
    "LC|L[ulmto]?|M[nce]?|N[dlo]?|P[cdseifo]?|S[mcko]?|Z[slp]?|C[cfosn]?"
)
_BINARY: Final = {
    "ALPHABETIC": "Alphabetic",
    "LETTER": "L",
    "IDEOGRAPHIC": "Ideographic",
    "LOWERCASE": "Lowercase",
    "UPPERCASE": "Uppercase",
    "TITLECASE": "Lt",
    "WHITE_SPACE": "White_Space",
    "WHITESPACE": "White_Space",
    "CONTROL": "Cc",
    "PUNCTUATION": "P",
    "DIGIT": "Nd",
    "EMOJI": "Emoji",
    "EMOJI_PRESENTATION": "Emoji_Presentation",
    "EMOJI_MODIFIER": "Emoji_Modifier",
    "EXTENDED_PICTOGRAPHIC": "Extended_Pictographic",
}
_PROPERTY: Final = re.compile("[A-Za-z0-9_ =-]+")
# Names that mean more characters when case does not count.
CASED: Final = frozenset(
    {r"\p{Lu}", r"\p{Ll}", r"\p{Lt}", r"\p{Lowercase}", r"\p{Uppercase}", "a-z", "A-Z"}
)


def named_set(name: str) -> str | None:
    """What `\\p{name}` stands for, to be put in brackets; None if it is not known here."""
    key, equals, value = name.partition("=")
    if equals:
        kind = {"sc": "Script", "script": "Script", "blk": "Block", "block": "Block"}
        if key.lower() in ("gc", "general_category"):
            return _category(value)
        return _checked(f"{kind[key.lower()]}={value}") if key.lower() in kind else None
    if name.startswith("In"):
        return _checked(f"Block={name[2:]}")
    if name.startswith("Is"):
        name = name[2:]
        if (binary := _BINARY.get(name.upper())) is not None:
            return _checked(binary)
        return _category(name) or _checked(f"Script={name}")
    return _POSIX.get(name) or _category(name)


def _category(name: str) -> str | None:
    return f"\\p{{{name}}}" if _CATEGORIES.fullmatch(name) else None


def _checked(name: str) -> str | None:
    """The property, if `regex` knows it."""
    if not _PROPERTY.fullmatch(name):
        return None
    try:
        regex.compile(f"\\p{{{name}}}")
    except regex.error:
        return None
    return f"\\p{{{name}}}"
