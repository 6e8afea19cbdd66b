"""Where documents that are written end up: the index, its semantic fields, its pipelines.

Source: TransportBulkAction, IngestService.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from proxy.semantic.fields import Fields
from proxy.semantic.pipelines import NONE, Pipeline
from proxy.semantic.registry import Part, Registry

_NOTHING: Final[Fields] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipelines:
    """The ingest pipelines that documents go through, one after the other; None for none."""

    main: str | None = None  # that of the request, or else the index's default one
    final: str | None = None

    def for_request(self, requested: Any) -> Pipelines:
        """Those of an index for a document whose request or action line names `requested`."""
        if requested is None:
            return self
        return Pipelines(main=_named(requested), final=self.final)

    def concern(self, ours: Mapping[str, Pipeline]) -> bool:
        """Whether the proxy has a part in what they do."""
        return self.main in ours or self.final in ours


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteTarget:
    """Where documents go: `index` is None where writing makes it, and a template has the fields."""

    index: str | None
    fields: Fields
    pipelines: Pipelines = Pipelines()
    parts: tuple[Part, ...] = ()  # as those of a Target

    def concerns(self, requested: Any, ours: Mapping[str, Pipeline]) -> bool:
        """Whether the proxy has a part in writing a document there that asks for a pipeline."""
        return bool(self.fields) or self.pipelines.for_request(requested).concern(ours)


async def write_target(registry: Registry, expression: str) -> WriteTarget:
    """Where a document written to `expression` goes, as it is now. Raises: UpstreamError."""
    ours = await registry.pipelines()
    snapshot = registry.snapshot
    known = snapshot.written.get(expression)
    if isinstance(known, WriteTarget):
        return known
    if expression in snapshot.plain and not ours:
        return WriteTarget(index=expression, fields=_NOTHING)
    target = await registry.look_up(expression)
    if not target.exists:  # it may be made at any moment: this is not kept
        coming = await registry.cluster.to_come(target.name)
        return WriteTarget(
            index=None,
            fields=coming.fields,
            pipelines=pipelines_of(coming.settings),
            parts=target.parts,
        )
    index = target.write_index
    fields = _NOTHING if index is None else target.fields.get(index, _NOTHING)
    if index is None or not (fields or ours):
        return WriteTarget(index=index or expression, fields=_NOTHING)
    settings = await registry.cluster.settings(index)
    pipelines = pipelines_of(settings.get(index, {}))
    found = WriteTarget(index=index, fields=fields, pipelines=pipelines, parts=target.parts)
    registry.keep_written(snapshot, expression, found)
    return found


def pipelines_of(settings: Mapping[str, Any]) -> Pipelines:
    """Those that the settings of an index name."""
    return Pipelines(
        main=_named(settings.get("default_pipeline")), final=_named(settings.get("final_pipeline"))
    )


def _named(pipeline_id: Any) -> str | None:
    return None if pipeline_id in (None, NONE) else str(pipeline_id)
