"""Where documents that are written end up: the index, its semantic fields, its pipelines.

Source: TransportBulkAction, IngestService.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from proxy.semantic.fields import Fields
from proxy.semantic.registry import Part, Registry

_NO_PIPELINE: Final = "_none"
_NOTHING: Final[Fields] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipelines:
    """The ingest pipelines of an index; None where it has none."""

    default: str | None = None
    final: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteTarget:
    """Where documents go: `index` is None where writing makes it, and a template has the fields."""

    index: str | None
    fields: Fields
    pipelines: Pipelines = Pipelines()
    parts: tuple[Part, ...] = ()  # as those of a Target


async def write_target(registry: Registry, expression: str) -> WriteTarget:
    """Where a document written to `expression` goes. Raises: UpstreamError."""
    snapshot = registry.snapshot
    known = snapshot.written.get(expression)
    if isinstance(known, WriteTarget):
        return known
    if expression in snapshot.plain:
        return WriteTarget(index=expression, fields=_NOTHING)
    target = await registry.look_up(expression)
    if not target.exists:  # it may be made at any moment: this is not kept
        coming = await registry.cluster.to_come(target.name)
        return WriteTarget(
            index=None,
            fields=coming.fields,
            pipelines=_pipelines(coming.settings),
            parts=target.parts,
        )
    index = target.write_index
    fields = _NOTHING if index is None else target.fields.get(index, _NOTHING)
    if index is None or not fields:
        return WriteTarget(index=index or expression, fields=_NOTHING)
    pipelines = _pipelines(await registry.cluster.settings(index))
    found = WriteTarget(index=index, fields=fields, pipelines=pipelines, parts=target.parts)
    if expression in snapshot.targets:
        snapshot.written.keep(expression, found)
    return found


def _pipelines(settings: Mapping[str, Any]) -> Pipelines:
    def named(name: str) -> str | None:
        found = settings.get(name)
        return found if isinstance(found, str) and found != _NO_PIPELINE else None

    return Pipelines(default=named("default_pipeline"), final=named("final_pipeline"))
