"""`Warning` headers: what the caller should know about the endpoints behind an answer.

Source: RFC 7234, section 5.5; `299 Elasticsearch` is how HeaderWarning begins.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from proxy.inference.ids import list_ids

STALE: Final = (
    '299 Elasticsearch "the endpoint store cannot be used, '
    'the configuration that was known last is used"'
)


def incomplete(refused: Collection[str]) -> str:
    """The header of a list that lacks endpoints, whose ids are `refused`."""
    return (
        f'299 Elasticsearch "inference endpoints {list_ids(refused)} are left out, '
        'their stored records cannot be used: GET one to see why"'
    )
