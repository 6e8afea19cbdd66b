"""The import-linter contract that setup.cfg uses: what one room may import."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

GROUND: Final = "proxy.ground"  # which every room may import


class RoomContract(Contract):
    """`room` may import itself, GROUND and what `may_import` lists; nothing else of the product.

    Each name is a module or a package with everything in it.
    """

    type_name = "room"

    room = fields.StringField()
    may_import = fields.ListField(subfield=fields.StringField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        room, listed = cast(str, self.room), cast(list[str] | None, self.may_import) or []
        if unknown := sorted({room, *listed} - graph.modules):
            raise ValueError(f"no such module: {', '.join(unknown)}")
        known = {room, *listed, GROUND}
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
