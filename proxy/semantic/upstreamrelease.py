"""Which release the upstream is, and what that means for semantic fields."""

from __future__ import annotations

import re
from time import monotonic
from typing import Final

from proxy.ground.errors import IllegalArgument
from proxy.semantic.fields import TYPE
from proxy.semantic.ports import Upstream

Release = tuple[int, int]

_REMEMBERED: Final = 60.0  # seconds: nodes may be upgraded one by one
_NUMBER: Final = re.compile(r"(\d+)\.(\d+)")
# Vectors in nested fields came with 8.11, `knn` as a query with 8.12, and its `k` with 8.15.
_FIELDS: Final = (8, 15)
# `semantic_text` itself quantises to bits from these on: SEMANTIC_TEXT_DEFAULTS_TO_BBQ.
_BITS: Final = (8, 19)
_NOT_IN_BITS: Final = (9, 0)
_RETRIEVERS: Final = (8, 14)
# From here on `_source` is shown without vectors unless it is asked for: FetchSourceContext.
_HIDDEN_VECTORS: Final = (9, 2)


class UpstreamRelease:
    """Asks the upstream for its release now and then. Every method raises UpstreamError."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._release: Release | None = None
        self._until = 0.0  # when it is asked for again; 0 before the first time

    async def number(self) -> Release | None:
        """Major and minor version; None where the upstream does not tell."""
        if monotonic() >= self._until:
            found = _NUMBER.match(await self._upstream.version() or "")
            self._release = None if found is None else (int(found[1]), int(found[2]))
            self._until = monotonic() + _REMEMBERED
        return self._release

    async def require_fields(self) -> None:
        """Raises: IllegalArgument where semantic fields could not be filled or searched."""
        release = await self.number()
        if release is not None and release < _FIELDS:
            needed, found = (".".join(map(str, one)) for one in (_FIELDS, release))
            raise IllegalArgument(
                f"fields of type [{TYPE}] need Elasticsearch [{needed}] or later behind the proxy, "
                f"and it is [{found}]"
            )

    async def quantises_to_bits(self) -> bool:
        """Whether vectors are indexed as `semantic_text` does by default, in bits."""
        release = await self.number()
        return release is None or (release >= _BITS and release != _NOT_IN_BITS)

    async def knows_retrievers(self) -> bool:
        """Whether a search may have a retriever in place of its query."""
        await self.number()
        return not self.may_lack_retrievers()

    def may_lack_retrievers(self) -> bool:
        """Whether it does not, as far as is known."""
        if not self._until:
            return True
        return self._release is not None and self._release < _RETRIEVERS

    async def hides_vectors(self) -> bool:
        """Whether `_source` is shown without vectors unless they are asked for."""
        release = await self.number()
        return release is None or release >= _HIDDEN_VECTORS
