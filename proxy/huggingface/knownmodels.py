"""Models that expect a prefix before each text, such as `query: `, recognised by their names.

Source: the model cards of intfloat's e5 and BAAI's bge.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A family of models, and its prefixes by input type."""

    family: str
    name: re.Pattern[str]
    prefixes: Mapping[str, str]


def _family(family: str, name: str, **prefixes: str) -> KnownModel:
    return KnownModel(family, re.compile(name, re.IGNORECASE), prefixes)


# Not their instruct models, which want a task that nobody but their user knows, and not bge-m3,
# which wants nothing.
_FAMILIES: Final = (
    _family(
        "e5",
        r"\b(?:multilingual-)?e5-(?:small|base|large)(?!.{0,20}instruct)",
        search="query: ",
        ingest="passage: ",
    ),
    _family(
        "bge",
        r"\bbge-(?:small|base|large)-en\b",
        search="Represent this sentence for searching relevant passages: ",
        ingest="",
    ),
    _family(
        "bge-zh",
        r"\bbge-(?:small|base|large)-zh\b",
        search="为这个句子生成表示以用于检索相关文章：",  # noqa: RUF001
        ingest="",
    ),
)


def known_model(name: str) -> KnownModel | None:
    """The family of the model of that name, or of one that is named in a URL."""
    return next((family for family in _FAMILIES if family.name.search(name)), None)
