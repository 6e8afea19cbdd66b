"""The kind of rule that setup.cfg gives to `lint-imports`: what one room may import."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

# What every room stands on. These modules import each other only.
GROUND: Final = frozenset(
    f"proxy.{name}"
    for name in ("authorization", "errors", "interception", "masking", "singleflight", "sse")
)


class RoomContract(Contract):
    """`room` imports nothing of the product but itself, GROUND and what it `may_import`.

    Each name is a module of the product, and stands for everything below it.
    """

    type_name = "room"

    room = fields.StringField()
    may_import = fields.ListField(subfield=fields.StringField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        room, listed = cast(str, self.room), cast(list[str] | None, self.may_import) or []
        if unknown := sorted({room, *listed} - graph.modules):
            raise ValueError(f"no such module: {', '.join(unknown)}")
        known = {room, *listed, *GROUND}
        crossings = [
            f"{importer} imports {imported}"
            for importer in sorted(graph.modules)
            if _is_within(importer, [room])
            for imported in sorted(graph.find_modules_directly_imported_by(importer))
            if not _is_within(imported, known)
        ]
        return ContractCheck(kept=not crossings, metadata={"crossings": crossings})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for line in check.metadata["crossings"]:
            output.print_error(line)


def _is_within(module: str, rooms: Iterable[str]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)
