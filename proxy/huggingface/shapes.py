"""What a reply is that cannot be read: its outlines, in words, by how it begins.

Nothing of a reply is quoted: it may hold what callers must not see. Names of fields are told if
they are among the ones that servers are known to use.
"""

from __future__ import annotations

import re
from typing import Final

_BEGINNING: Final = 4096  # bytes that are looked at
_OUTLINE: Final = re.compile(rb"[\[{\s]*")
_FIELDS: Final = re.compile(
    rb'"(data|embeddings?|index|label|score|value|token|results|relevance_score|choices'
    rb'|generated_text|error|message|detail|text|vector|outputs?|predictions)"\s*:'
)
_KINDS: Final = {
    "": "a value",
    "[": "a list",
    "[[": "a list of lists",
    "[[[": "a list of lists of lists",
    "[{": "a list of objects",
    "[[{": "a list of lists of objects",
    "{": "an object",
}


def outline(data: bytes) -> str:
    """The brackets with which a reply begins, or `<` for a web page, `""` for none of both.

    Numbers in the innermost list are shown as `0`: `[[0` is a list of vectors.
    """
    start = data[:_BEGINNING].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start[:1] == b"<":
        return "<"
    found = _OUTLINE.match(start)
    brackets = b"".join(found[0].split()).decode() if found else ""
    opened = brackets.partition("{")
    brackets = opened[0] + opened[1]
    rest = start[found.end() :] if found else start
    return f"{brackets}0" if not opened[1] and re.match(rb"-?\d", rest) else brackets


def fields(data: bytes) -> list[str]:
    """The known names of fields near a reply's beginning, each once, in their order."""
    names = (name.decode() for name in _FIELDS.findall(data[:_BEGINNING]))
    return list(dict.fromkeys(names))


def described(data: bytes) -> str:
    """What a reply is, for a sentence that says what was expected instead."""
    if not data.strip():
        return "nothing"
    brackets = outline(data)
    if brackets == "<":
        return "a web page"
    if brackets.endswith("0"):
        lists = brackets.count("[")
        return ("a number", "a single vector", "a list of vectors", "a list of lists of vectors")[
            min(lists, 3)
        ]
    kind = _KINDS.get(brackets, "nested lists")
    if not brackets and data.lstrip()[:1] not in b'"tfn':
        return "a text that is no JSON"
    names = fields(data)[:4] if "{" in brackets else []
    return f"{kind} with {' and '.join(f'[{name}]' for name in names)}" if names else kind
