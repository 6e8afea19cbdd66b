"""Whether a page of another origin may see an answer: what the upstream's CORS settings say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginVerdict:
    """What the origin of a request means for its answer."""

    headers: Sequence[tuple[str, str]] = ()  # that the answer has to carry
    # Of the empty answer that the request gets, whatever it asks for; None if it may go on.
    status: int | None = None


UNAFFECTED: Final = OriginVerdict()
