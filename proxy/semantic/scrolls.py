"""Ids of scrolls that say what further pages show, so that any process can serve these.

What Elasticsearch's own highlighter would know from the search stands behind its id.
"""

from __future__ import annotations

from typing import Final

from proxy.semantic.asked import Asked, unpacked

_MARK: Final = ".h1."  # no id of Elasticsearch's has points


def with_asked(scroll_id: str, asked: Asked) -> str:
    """An id that says what hits show, too."""
    return scroll_id + _MARK + asked.packed()


def again(scroll_id: str, before: str) -> str:
    """The upstream's next id with what `before` says."""
    _, mark, packed = before.partition(_MARK)
    return scroll_id + mark + packed


def own(scroll_id: str) -> str:
    """The upstream's part of an id, or of several with commas between."""
    return ",".join(one.partition(_MARK)[0] for one in scroll_id.split(","))


def says_more(text: str) -> bool:
    """Whether any of the ids in a text is not the upstream's alone."""
    return _MARK in text


def asked_by(scroll_id: str) -> Asked | None:
    """What an id says; None for one of the upstream's alone, or one that is none."""
    return unpacked(scroll_id.partition(_MARK)[2])
