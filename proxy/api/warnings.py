"""`Warning` headers: what the caller should know about an answer and the endpoints behind it.

Source: RFC 7234, section 5.5; `299 Elasticsearch` is how HeaderWarning begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from proxy.inference.ids import list_ids
from proxy.inference.ports import Listing

STALE: Final = (
    '299 Elasticsearch "the endpoint store cannot be used, '
    'the configuration that was known last is used"'
)

UNTRIED: Final = (
    '299 Elasticsearch "the provider is still starting, '
    'the inference endpoint will be tried out by its first use"'
)

_MOST_NAMES: Final = 10
# A name that can stand in a header as it is.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.*-]{1,100}")


def incomplete(listing: Listing) -> Iterator[str]:
    """The headers of a list that lacks endpoints."""
    if listing.refused:
        ids = list_ids(listing.refused, unnamed=listing.more_refused)
        yield (
            f'299 Elasticsearch "inference endpoints {ids} are left out, '
            'their stored records cannot be used: GET one to see why"'
        )
    if not listing.complete:
        yield (
            '299 Elasticsearch "the store holds more than a list can have, and inference endpoints '
            'are left out: GET them by their ids"'
        )


def without_effect(settings: Sequence[str]) -> str:
    """The header of an update that changed nothing about these settings."""
    named = [name for name in settings if _PLAIN.fullmatch(name)][:_MOST_NAMES]
    more = len(settings) - len(named)
    shown = ", ".join([*named, *([f"{more} more"] if more else [])])
    return f'299 Elasticsearch "_update does not change [{shown}]: they were ignored"'
