"""Which searches are looked at for what is in their bodies, whatever they search.

Bytes are looked for, nothing is read: a search that only speaks of such words is looked at in vain.
"""

from __future__ import annotations

import re
from typing import Final

_SEARCH: Final = re.compile(rb"[^?]*/_search(?:[?/]|$)")
# Also the escape of a letter, which may stand in such a name.
_NAMES: Final = re.compile(
    rb'"(?:rrf|linear|text_similarity_reranker|query_vector_builder)"|\\u00[67]'
)
_BLANK: Final = b" \t\r\n"


def is_search(target: bytes) -> bool:
    """Whether a raw target is that of a search."""
    return b"/_search" in target and _SEARCH.match(target) is not None


def names_ours(body: bytes) -> bool:
    """Whether a body has the name of something that is done here, or is not JSON to look into."""
    if body.lstrip(_BLANK)[:1] not in (b"{", b""):
        return True
    return _NAMES.search(body) is not None
