"""Where documents that are written end up: the index, its semantic fields, its pipelines.

Source: IndexAbstraction.getWriteIndex, TransportBulkAction, MetadataIndexTemplateService.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import quote

import orjson

from proxy.semantic.mappings import fields_of
from proxy.semantic.pipelines import NONE, Pipeline
from proxy.semantic.ports import Upstream, UpstreamAnswer
from proxy.semantic.registry import Fields, Registry, Target

_PIPELINES: Final = "*.settings.index.default_pipeline,*.settings.index.final_pipeline"


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


async def write_target(registry: Registry, upstream: Upstream, expression: str) -> WriteTarget:
    """Where a document written to `expression` goes. Raises: UpstreamError."""
    ours = await registry.pipelines()
    snapshot = registry.snapshot
    known = snapshot.written.get(expression)
    if isinstance(known, WriteTarget):
        return known
    if expression in snapshot.plain and not ours:
        return WriteTarget(index=expression, fields={})
    found = await _Search(registry, upstream, expression).target()
    if not expression.startswith("<"):  # another index every day
        snapshot.written[expression] = found
    return found


async def pipelines_of(upstream: Upstream, expression: str) -> dict[str, Pipelines]:
    """The pipelines of existing indices, of those that have any. Raises: UpstreamError."""
    path = f"/{quote(expression, safe='*,')}/_settings?filter_path={_PIPELINES}"
    settings = _object(await upstream.ask_as_proxy("GET", path))
    return {index: _pipelines(entry["settings"]) for index, entry in settings.items()}


class _Search:
    """Looks for what one expression stands for."""

    def __init__(self, registry: Registry, upstream: Upstream, expression: str) -> None:
        self._registry = registry
        self._upstream = upstream
        self._expression = expression

    async def target(self) -> WriteTarget:
        found = await self._registry.look_up(self._expression)
        if not found.exists:
            return await self._of_template()
        if not found.fields and not self._registry.snapshot.pipelines:
            return WriteTarget(index=self._expression, fields={})
        pipelines = await pipelines_of(self._upstream, self._expression)
        index = await self._index(found, {*found.fields, *pipelines})
        return WriteTarget(
            index=index,
            fields=found.fields.get(index, {}),
            pipelines=pipelines.get(index, Pipelines()),
        )

    async def _index(self, found: Target, concerned: set[str]) -> str:
        """The index that is written to; `concerned` are those that it matters for."""
        if self._expression in concerned or not concerned:
            return self._expression
        if len(concerned) == 1 and not found.others:
            return concerned.pop()
        return await self._write_index() or self._expression

    async def _write_index(self) -> str | None:
        """The index of several that takes what is written; None if there is none."""
        name = quote(self._expression, safe="")
        stream = _object(await self._ask("GET", f"/_data_stream/{name}"))
        for one in stream.get("data_streams", []):
            return str(one["indices"][-1]["index_name"])
        aliased = _object(await self._ask("GET", f"/_alias/{name}"))
        for index, entry in aliased.items():
            alias = entry.get("aliases", {}).get(self._expression, {})
            if alias.get("is_write_index") or len(aliased) == 1:
                return await self._last_of(index)
        return None

    async def _last_of(self, index: str) -> str:
        """The index to write to behind a name that an alias leads to: perhaps a data stream."""
        found = await self._registry.look_up(index)
        if index in found.fields:
            return index
        stream = _object(await self._ask("GET", f"/_data_stream/{quote(index, safe='')}"))
        for one in stream.get("data_streams", []):
            return str(one["indices"][-1]["index_name"])
        return index

    # Indices that are still to be made

    async def _of_template(self) -> WriteTarget:
        name = await self._resolved()
        path = f"/_index_template/_simulate_index/{quote(name, safe='')}"
        answer = await self._ask("POST", path)
        template = _object(answer).get("template", {})
        if not _object(answer).get("template"):
            template = await self._legacy_template(name)
        mapping = template.get("mappings")
        fields = fields_of(mapping) if mapping else {}
        settings = template.get("settings", {})
        return WriteTarget(index=None, fields=fields, pipelines=_pipelines(settings))

    async def _resolved(self) -> str:
        """The name without date math."""
        if not self._expression.startswith("<"):
            return self._expression
        answer = await self._ask("GET", f"/{quote(self._expression, safe='')}/_mapping")
        error = _document(answer).get("error")
        name = error.get("index") if isinstance(error, dict) else None
        return name if isinstance(name, str) else self._expression

    async def _legacy_template(self, name: str) -> dict[str, Any]:
        """What the legacy templates for a name make together."""
        templates = _object(await self._ask("GET", "/_template"))
        matching = [
            template
            for template in templates.values()
            if any(fnmatchcase(name, pattern) for pattern in template.get("index_patterns", []))
        ]
        made: dict[str, Any] = {}
        for template in sorted(matching, key=lambda one: int(one.get("order", 0))):
            made = _merged(made, template)
        return made

    async def _ask(self, method: str, target: str) -> UpstreamAnswer:
        return await self._upstream.ask_as_proxy(method, target)


def _pipelines(settings: Mapping[str, Any]) -> Pipelines:
    index = settings.get("index", {})
    return Pipelines(
        main=_named(index.get("default_pipeline")), final=_named(index.get("final_pipeline"))
    )


def _named(pipeline_id: Any) -> str | None:
    return None if pipeline_id in (None, NONE) else str(pipeline_id)


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(one)
    for key, value in other.items():
        before = result.get(key)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        result[key] = _merged(before, value) if both else value  # type: ignore[arg-type]
    return result


def _document(answer: UpstreamAnswer) -> dict[str, Any]:
    try:
        document = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _object(answer: UpstreamAnswer) -> dict[str, Any]:
    """The document of an answer; empty for an error."""
    return _document(answer) if answer.status == 200 else {}
