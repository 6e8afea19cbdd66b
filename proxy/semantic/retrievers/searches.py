"""Searches in the caller's name, all at one point in time, so that no document changes its place.

Source: TransportSearchAction.rewriteAndOpenPointInTime.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote, urlencode

from proxy.ground.errors import UpstreamBroken
from proxy.semantic.answerjson import listed_in, read_object
from proxy.semantic.ports import UpstreamAnswer
from proxy.semantic.retrievers.errors import LeafRefused
from proxy.semantic.retrievers.leaves import with_places
from proxy.xcontent.writing import dump_json

Ask = Callable[[str, str, bytes], Awaitable[UpstreamAnswer]]  # method, target, body

_KEPT: Final = "1m"  # for how long after its last use, should it not be closed
# Parameters of a search that say what is searched.
_OF_INDICES: Final = (
    "preference",
    "routing",
    "ignore_unavailable",
    "allow_no_indices",
    "expand_wildcards",
)
_OF_EACH: Final = ("search_type", "ccs_minimize_roundtrips")


class Searches:
    """Searches an index expression; None stands for what the path or the body leaves open."""

    def __init__(self, ask: Ask, index: str | None, parameters: Mapping[str, str]) -> None:
        self._ask = ask
        self._index = index
        self._of_indices = {name: parameters[name] for name in _OF_INDICES if name in parameters}
        self._of_each: dict[str, Any] = {
            name: parameters[name] for name in _OF_EACH if name in parameters
        }
        self._snapshot: Mapping[str, Any] | None = None

    @property
    def has_places(self) -> bool:
        """Whether hits tell their place in the index."""
        return self._snapshot is not None

    @asynccontextmanager
    async def at_one_time(self, given: Mapping[str, Any] | None) -> AsyncIterator[None]:
        """Search at a point in time meanwhile; `given` is the caller's own, if there is one.

        An upstream that has none is searched without, and ties may then be told apart otherwise.
        """
        if given is not None:
            self._snapshot = given
            yield
            return
        opened = await self._open()
        self._snapshot = None if opened is None else {"id": opened, "keep_alive": _KEPT}
        try:
            yield
        finally:
            if opened is not None:
                self._snapshot = None
                await self._ask("DELETE", "/_pit", dump_json({"id": opened}))

    async def run(self, bodies: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The answers to these searches, one for each: a search's, or `error` and `status`.

        Raises: UpstreamError; LeafRefused where all of them are refused.
        """
        lines = b"".join(
            dump_json(self._header()) + b"\n" + dump_json(self._placed(body)) + b"\n"
            for body in bodies
        )
        answer = await self._ask("POST", "/_msearch", lines)
        document = await read_object(answer)
        if answer.status != 200:
            if not isinstance(error := document.get("error"), dict):
                raise UpstreamBroken(f"upstream node answered {answer.status} without [error]")
            raise LeafRefused(answer.status, error)
        found = listed_in(document, "responses", len(bodies))
        if not all(isinstance(one, dict) for one in found):
            raise UpstreamBroken("upstream node answered searches with unclear [responses]")
        return found

    def _header(self) -> dict[str, Any]:
        header: dict[str, Any] = {**self._of_each, "allow_partial_search_results": False}
        if self._snapshot is None:
            header |= self._of_indices
            if self._index is not None:
                header["index"] = self._index
        return header

    def _placed(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        if self._snapshot is None:
            return body
        return {**with_places(body), "pit": self._snapshot}

    async def _open(self) -> str | None:
        parameters = {"keep_alive": _KEPT, **self._of_indices}
        index = quote(self._index or "_all", safe="*,:<>{}+~-")
        answer = await self._ask("POST", f"/{index}/_pit?{urlencode(parameters)}", b"")
        if answer.status != 200:
            return None  # the searches tell what is wrong
        found = (await read_object(answer)).get("id")
        return found if isinstance(found, str) else None
