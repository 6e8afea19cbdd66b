"""Index expressions, as callers write them into paths and bodies.

Names and patterns with commas between: `logs-*,-logs-old`, `<logs-{now/d}>`, `logs::failures`, and
`europe:logs` for an index of another cluster. Source: IndexNameExpressionResolver.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, unquote

EVERYTHING: Final = "_all"
# A comma outside of date math, which may hold some.
_COMMA: Final = re.compile(r",(?![^<]*>)")
_HALF: Final = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # the others stand for bytes
_SAFE: Final = "*,:-"


def parts_of(expression: str) -> list[str]:
    """The names and patterns in an expression, without empty ones."""
    parts = _COMMA.split(expression) if "<" in expression else expression.split(",")
    return [part for part in parts if part]


def local_part(expression: str) -> str:
    """The expression without what it names of other clusters; empty if nothing is left.

    No index there has fields of ours, and the upstream does not tell the mappings of both at once.
    But where patterns such as `*:a` are all that is named, and no cluster has such a name, the
    upstream takes them for nothing, which stands for everything it has itself.
    """
    if ":" not in expression:
        return expression
    parts = parts_of(expression)
    local = ",".join(part for part in parts if not is_remote(part))
    return local or (EVERYTHING if all(map(_may_be_nowhere, parts)) else "")


def is_pattern(part: str) -> bool:
    """Whether a part of an expression may stand for indices of other names."""
    return "*" in part or part == EVERYTHING


def decoded(segment: bytes) -> str:
    """A segment of a path as Elasticsearch reads it."""
    text = segment.decode("utf-8", "surrogateescape")
    return unquote(text, errors="replace") if "%" in text else text


def is_no_index(part: str) -> bool:
    """Whether nothing has a name like this, which may lead to other APIs where a path has it."""
    return part.startswith("_") and part != EVERYTHING


def is_date_math(part: str) -> bool:
    """Whether a part of an expression is a name with a date that is computed."""
    return part.startswith("<")


def is_exclusion(part: str) -> bool:
    """Whether a part of an expression takes away from those before it."""
    return part.startswith("-")


def is_remote(part: str) -> bool:
    """Whether a part of an expression names indices of another cluster."""
    return not part.startswith(("<", "-<")) and ":" in part.replace("::", "")


def _may_be_nowhere(part: str) -> bool:
    """Whether a remote part names clusters by a pattern, which none may match."""
    return "*" in part.partition(":")[0]


def without_selector(part: str) -> str:
    """A name without `::data` or `::failures`."""
    return part.partition("::")[0]


def in_path(expression: str) -> str:
    """An expression as a segment of a path; halves of characters are in no name of an index."""
    whole = _HALF.sub("\ufffd", expression)
    return quote(whole.encode("utf-8", "surrogateescape"), safe=_SAFE)


def batches(names: Sequence[str], most: int) -> list[str]:
    """Names joined to expressions of at most `most` characters, as paths have to be short."""
    joined: list[str] = []
    for name in names:
        if joined and len(joined[-1]) + len(name) < most:
            joined[-1] += f",{name}"
        else:
            joined.append(name)
    return joined
