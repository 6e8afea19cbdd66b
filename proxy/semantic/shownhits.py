"""Adds to the hits of an answer what only the proxy can show: chunks of semantic fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import quote, urlencode

from proxy.semantic.answers import hits_of
from proxy.semantic.chunks import show
from proxy.semantic.exchange import Exchange
from proxy.semantic.highlights import Shown
from proxy.semantic.innerhits import hits_within
from proxy.semantic.pits import expression_of
from proxy.semantic.ports import UpstreamAnswer
from proxy.xcontent.writing import dump_json

# Parameters of a search that say which indices it goes to.
_OF_INDICES: Final = (
    "allow_no_indices",
    "expand_wildcards",
    "ignore_throttled",
    "ignore_unavailable",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """What a search went to, where its hits' chunks are read."""

    expression: str | None  # None for all indices
    parameters: Mapping[str, str] = field(default_factory=dict)
    pit: Any = None

    @classmethod
    def of(
        cls, expression: str | None, parameters: Mapping[str, str], body: Mapping[str, Any]
    ) -> Self:
        """Where a search with this body goes to."""
        if "pit" in body:
            return cls(expression=None, pit=body["pit"])
        kept = {name: value for name, value in parameters.items() if name in _OF_INDICES}
        return cls(expression=expression, parameters=kept)

    def lasting_expression(self) -> str | None:
        """The indices by name, for when a point in time may be over."""
        if not isinstance(self.pit, Mapping):
            return self.expression
        return expression_of(str(self.pit.get("id")))

    def target(self) -> str:
        name = self.expression
        path = "/_search" if name is None else f"/{quote(name, safe='*,:<>+~-')}/_search"
        return path + (f"?{urlencode(self.parameters)}" if self.parameters else "")

    def body(self, question: Mapping[str, Any]) -> bytes:
        return dump_json(question if self.pit is None else {**question, "pit": self.pit})


async def show_chunks(exchange: Exchange, document: Any, shown: Shown, where: Where) -> None:
    """Add to the hits of an answer, and those within, what only we show. Raises: UpstreamError."""

    async def ask(question: Mapping[str, Any]) -> UpstreamAnswer:
        return await exchange.parts.upstream.ask_as_caller(
            exchange.request, "POST", where.target(), where.body(question)
        )

    within = [(one.shown, hits_within(document, one)) for one in shown.within]
    for wanted, hits in ((shown, hits_of(document)), *within):
        if wanted and hits:
            await show(wanted, hits, ask, exchange.parts.vector_sources)
