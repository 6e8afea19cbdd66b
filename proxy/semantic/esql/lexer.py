"""The tokens of an ES|QL query, as far as it takes to find calls, parameters and indices.

Source: the grammars EsqlBaseLexer, From and Expression.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from proxy.semantic import expressions

_MOST: Final = 100_000  # tokens: as in a dozen long vectors
_BLANK: Final = re.compile(r"(?:\s+|//[^\r\n]*)+")
_STRING: Final = r'"""[^\r\n]*?"""(?:"{0,2})|"(?:[^"\\\r\n]|\\[tnr"\\])*"'
_TOKEN: Final = re.compile(
    rf"(?P<string>{_STRING})|(?P<quoted>`(?:[^`]|``)*`)|(?P<parameter>\?\??[A-Za-z0-9_]*)"
    r"|(?P<name>[A-Za-z_@][A-Za-z0-9_]*)|(?P<other>[0-9.]+|[^\"`])",
    re.DOTALL,
)
# Names and patterns of indices, in which other characters than these need no quotes.
_SOURCE: Final = re.compile(
    r"(?P<name>metadata\b)"
    rf'|(?P<source>{_STRING}|(?:[^"=|,\[\]/() \t\r\n]|/(?![*/]))+)|(?P<other>[^"])',
    re.IGNORECASE,
)
_COMMENT: Final = re.compile(r"/\*|\*/")
_READING: Final = frozenset(("from", "ts", "metrics"))  # commands that name indices
# What follows `from` in brackets where it is a command, and not the column of a function.
_NAMED: Final = re.compile(r"\s+[^\s),=<>!+%|]")
_ESCAPES: Final = {"t": "\t", "n": "\n", "r": "\r", '"': '"', "\\": "\\"}
_ESCAPE: Final = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Token:
    """A part of a query; `kind` is one of string, quoted, parameter, name, source and other."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    def is_name(self, name: str) -> bool:
        """Whether it is a name, in any case, which may be in backquotes."""
        return self.kind in ("name", "quoted") and self.text.strip("`").lower() == name

    def value(self) -> str:
        """The characters that a string stands for, or a source that may be one."""
        if not self.text.startswith('"'):
            return self.text
        if self.text.startswith('"""'):
            return self.text[3:-3]
        return _ESCAPE.sub(lambda match: _ESCAPES[match[1]], self.text[1:-1])


def tokens(query: str) -> list[Token]:
    """The tokens of a query, up to what cannot be one; none of one that has too many."""
    found = list(islice(_tokens(query), _MOST + 1))
    return found if len(found) <= _MOST else []


def _tokens(query: str) -> Iterator[Token]:
    before = ";"  # the last token, where a command may follow
    names_indices = [False]  # whether what stands here does, for each bracket that is open
    at = 0
    while at < len(query):
        if (blank := _BLANK.match(query, at)) is not None:
            at = blank.end()
            continue
        if query.startswith("/*", at):
            at = _behind_comment(query, at)
            continue
        pattern = _SOURCE if names_indices[-1] else _TOKEN
        if (found := pattern.match(query, at)) is None:
            return  # a string without an end
        token = Token(str(found.lastgroup), found[0], at)
        yield token
        at = found.end()
        text = token.text.lower()
        if text == "(":
            names_indices.append(False)
        elif text == ")" and len(names_indices) > 1:
            names_indices.pop()
        elif text in ("|", "metadata"):
            names_indices[-1] = False
        elif text in _READING and (before == ";" or (before == "(" and _NAMED.match(query, at))):
            names_indices[-1] = True
        before = text


def _behind_comment(query: str, at: int) -> int:
    """The offset behind a comment, which may have others in it."""
    depth = 0
    for found in _COMMENT.finditer(query, at):
        depth += 1 if found[0] == "/*" else -1
        if not depth:
            return found.end()
    return len(query)


def indices_in(found: Sequence[Token]) -> str:
    """The index expression of what a query reads, but for other clusters; empty for nothing."""
    names = [""]
    for token in found:
        if token.kind == "source":
            names[-1] += token.value()  # as in `europe:"logs"`
        elif names[-1]:
            names.append("")
    parts = expressions.parts_of(",".join(filter(None, names)))
    local = [one for one in parts if not expressions.is_remote(one)]
    return ",".join(map(expressions.without_selector, local))
