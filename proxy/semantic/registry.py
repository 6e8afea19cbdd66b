"""Which indices have semantic fields: read from the upstream's mappings, and kept up to date.

The version of the cluster's state rises with every change of a mapping, an alias or a template, and
with no document. It is asked for once in a while; as long as it stays, what was looked up holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import orjson

from proxy.errors import ProxyError, UpstreamBroken
from proxy.limits.threads import offload
from proxy.semantic.fields import SemanticField
from proxy.semantic.mappings import field_aliases, fields_of
from proxy.semantic.pipelineregistry import PipelineRegistry
from proxy.semantic.pipelines import Pipeline
from proxy.semantic.ports import Upstream, UpstreamAnswer
from proxy.singleflight import SingleFlight

log: Final = logging.getLogger(__name__)

Fields = Mapping[str, SemanticField]

_VERSION: Final = "/_cluster/state/version?filter_path=version"
_OURS: Final = "properties.xinf.properties.*.properties.def*.type"
# Where something of ours may be declared, each with the part that shows it.
_DECLARED: Final = (
    f"/_all/_mapping?expand_wildcards=all&filter_path=*.mappings.{_OURS}",
    f"/_index_template?filter_path=index_templates.index_template.template.mappings.{_OURS}",
    "/_component_template?filter_path="
    f"component_templates.component_template.template.mappings.{_OURS}",
    f"/_template?filter_path=*.mappings.{_OURS}",
)
_NEVER: Final = -1  # the version before the first look
_LOOK_UP: Final = "/{}/_mapping?expand_wildcards=all&ignore_unavailable=true"
# A cluster whose state changes all the time is asked less often, if its answers take long.
_AT_ONCE: Final = 65536  # bytes of mappings that are read on the event loop
_REST: Final = 10  # times the time that a discovery took


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What an index expression stands for."""

    exists: bool  # whether it stands for any index at all
    fields: Mapping[str, Fields]  # by concrete index, of those that have semantic fields
    others: bool = False  # whether it stands for others, too
    aliases: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # of fields, by index

    def by_path(self) -> dict[str, Fields]:
        """The semantic fields by the names that queries may use, aliases included, and by index."""
        found: dict[str, dict[str, SemanticField]] = {}
        for index, fields in self.fields.items():
            for path, one in fields.items():
                found.setdefault(path, {})[index] = one
            for alias, path in self.aliases.get(index, {}).items():
                if path in fields:
                    found.setdefault(alias, {})[index] = fields[path]
        return dict(found)


@dataclass(slots=True, kw_only=True)
class Snapshot:
    """What is known of one version of the cluster's state."""

    version: int
    active: bool  # whether any index or template declares a semantic field, or a pipeline is ours
    pipelines: Mapping[str, Pipeline] = field(default_factory=dict)  # those of ours
    targets: dict[str, Target] = field(default_factory=dict)  # by index expression
    plain: set[str] = field(default_factory=set)  # expressions for existing indices without any
    written: dict[str, object] = field(default_factory=dict)  # where documents go: see targets


class Registry:
    """Knows the semantic fields of every index; `refresh` is the time between two looks."""

    def __init__(self, upstream: Upstream, refresh: float) -> None:
        self.snapshot = Snapshot(version=_NEVER, active=True)  # until the first look, all may
        self.stored_pipelines = PipelineRegistry(upstream)
        self._upstream = upstream
        self._refresh = refresh
        self._looking: SingleFlight[None, None] = SingleFlight()
        self._looking_up: SingleFlight[tuple[int, str], Target] = SingleFlight()
        self._problem: str | None = None
        self._native: bool | None = None  # not asked yet

    async def run(self) -> None:
        """Look at the cluster's state for ever."""
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            try:
                await self.look()
                self._problem = None
            except ProxyError as error:
                self._report(error)
            await asyncio.sleep(max(self._refresh, _REST * (loop.time() - started)))

    async def is_native(self) -> bool:
        """Whether the upstream has `semantic_text` of its own. Raises: UpstreamError."""
        if self._native is None:
            self._native = await self._upstream.has_inference()
        return self._native

    async def look(self) -> None:
        """Take note of what has changed, if anything has. Raises: UpstreamError."""
        await self._looking.run(None, self._look)

    async def pipelines(self) -> Mapping[str, Pipeline]:
        """The ingest pipelines of which the proxy runs a part, by id. Raises: UpstreamError."""
        if self.snapshot.version == _NEVER:
            await self.look()
        return self.snapshot.pipelines

    async def look_up(self, expression: str) -> Target:
        """What an index expression stands for, as callers write it. Raises: UpstreamError."""
        snapshot = self.snapshot
        known = snapshot.targets.get(expression)
        if known is not None:
            return known
        key = (id(snapshot), expression)
        return await self._looking_up.run(key, lambda: self._look_up(snapshot, expression))

    def forget(self, expression: str) -> None:
        """Look an index expression up again when it is asked for the next time."""
        snapshot = self.snapshot
        snapshot.targets.pop(expression, None)
        snapshot.written.pop(expression, None)
        snapshot.plain.discard(expression)

    async def _look(self) -> None:
        version = await self._version()
        if version == self.snapshot.version:
            return
        pipelines = await self.stored_pipelines.read()
        active = bool(pipelines) or await self._any_declared()
        self.snapshot = Snapshot(version=version, active=active, pipelines=pipelines)

    async def _version(self) -> int:
        document = _document(await self._upstream.ask_as_proxy("GET", _VERSION))
        version = document.get("version")
        if not isinstance(version, int):
            raise UpstreamBroken("upstream node did not tell the version of the cluster's state")
        return version

    async def _any_declared(self) -> bool:
        for target in _DECLARED:
            answer = await self._upstream.ask_as_proxy("GET", target)
            if answer.status == 404:  # no template at all
                continue
            if _document(answer):
                return True
        return False

    async def _look_up(self, snapshot: Snapshot, expression: str) -> Target:
        path = quote(expression, safe="*,:<>{}+~-")
        answer = await self._upstream.ask_as_proxy("GET", _LOOK_UP.format(path))
        if answer.status == 404:
            target = Target(exists=False, fields={})
        else:
            size = len(answer.body)
            target = await offload(size, _AT_ONCE, lambda: _target(_document(answer)))
        snapshot.targets[expression] = target
        if target.exists and not target.fields:
            snapshot.plain.add(expression)
        return target

    def _report(self, error: ProxyError) -> None:
        if error.reason != self._problem:
            self._problem = error.reason
            log.warning("cannot see which indices have semantic fields: %s", error.reason)


def _target(mappings: Mapping[str, Any]) -> Target:
    found = {name: fields_of(index["mappings"]) for name, index in mappings.items()}
    return Target(
        exists=bool(mappings),
        fields={name: fields for name, fields in found.items() if fields},
        others=not all(found.values()),
        aliases={
            name: field_aliases(mappings[name]["mappings"])
            for name, fields in found.items()
            if fields
        },
    )


def _document(answer: UpstreamAnswer) -> dict[str, Any]:
    """Raises: UpstreamBroken for anything but an object with status 200."""
    try:
        document: Any = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        document = None
    if answer.status != 200 or not isinstance(document, dict):
        raise UpstreamBroken(f"upstream node answered {answer.status} to a question about mappings")
    return document
