"""Which pipelines hold `inference` processors of the proxy, and which indices use them.

Truth is what the upstream stores; it is read when the version of the cluster's state has risen.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import quote

import orjson

from proxy.errors import UpstreamBroken
from proxy.semantic.pipelines import NONE, Pipeline, read_pipeline
from proxy.semantic.ports import Upstream, UpstreamAnswer

log: Final = logging.getLogger(__name__)

_OURS: Final = "/_ingest/pipeline?filter_path=*._meta.xinf,*.on_failure"
_NAMES: Final = ("default_pipeline", "final_pipeline")


@dataclass(frozen=True, slots=True)
class IndexPipelines:
    """The pipelines that an index has for what is written to it; None where it has none."""

    default: str | None = None
    final: str | None = None


@dataclass(slots=True, kw_only=True)
class Pipelines:
    """What is known of one version of the cluster's state."""

    known: Mapping[str, Pipeline] = field(default_factory=dict)  # those of ours by id
    of_index: dict[str, IndexPipelines] = field(default_factory=dict)  # by index expression
    unconcerned: set[str] = field(default_factory=set)  # expressions for indices that use no other

    def concern(self, used: IndexPipelines) -> bool:
        """Whether the proxy runs a part of what these indices use."""
        return used.default in self.known or used.final in self.known

    def naming(self, inference_id: str) -> list[str]:
        """The pipelines that name an endpoint."""
        found = self.known.items()
        return sorted(name for name, one in found if inference_id in one.endpoints())


class PipelineRegistry:
    """Reads pipelines, and what indices use, from the upstream."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self.is_readable = True  # whether the proxy's own credentials may read pipelines

    async def read(self) -> Pipelines:
        """What is there now. Raises: UpstreamError."""
        answer = await self._upstream.ask_as_proxy("GET", _OURS)
        self._note(is_readable=answer.status not in (401, 403))
        if answer.status == 404 or not self.is_readable:
            return Pipelines()
        found = (
            read_pipeline(pipeline_id, stored) for pipeline_id, stored in _document(answer).items()
        )
        return Pipelines(known={one.id: one for one in found if one is not None})

    def _note(self, *, is_readable: bool) -> None:
        if self.is_readable and not is_readable:
            log.warning(
                "the proxy's user may not read ingest pipelines, for which it needs "
                "[read_pipeline]: inference processors of the proxy do not run"
            )
        self.is_readable = is_readable

    async def used(self, pipelines: Pipelines, expression: str) -> IndexPipelines:
        """The pipelines of the index that documents written to `expression` go to.

        Raises: UpstreamError.
        """
        found = pipelines.of_index.get(expression)
        if found is None:
            found, is_lasting = await self._used(expression)
            if is_lasting:
                pipelines.of_index[expression] = found
                if not pipelines.concern(found):
                    pipelines.unconcerned.add(expression)
        return found

    async def _used(self, expression: str) -> tuple[IndexPipelines, bool]:
        """What is used, and whether that holds until the cluster's state changes."""
        path = quote(expression, safe="<>{}+~-")
        answer = await self._upstream.ask_as_proxy("GET", f"/{path}/_settings")
        if answer.status == 404:
            return await self._of_template(expression), False
        settings = _document(answer)
        if not settings:
            return IndexPipelines(), False
        index = next(iter(settings)) if len(settings) == 1 else await self._written(path, settings)
        is_lasting = not expression.startswith("<")  # date math names another index every day
        return _read(settings[index].get("settings")), is_lasting

    async def _written(self, path: str, settings: Mapping[str, Any]) -> str:
        """The index of several that is written to: the one of an alias that says so, or the last
        one of a data stream."""
        answer = await self._upstream.ask_as_proxy("GET", f"/{path}/_alias/{path}")
        if answer.status == 200:
            for index, entry in _document(answer).items():
                if any(one.get("is_write_index") for one in entry.get("aliases", {}).values()):
                    return str(index)
        return max(settings)

    async def _of_template(self, name: str) -> IndexPipelines:
        """The pipelines of an index that writing to it will make."""
        path = f"/_index_template/_simulate_index/{quote(name, safe='')}"
        answer = await self._upstream.ask_as_proxy("POST", path)
        template = _document(answer).get("template") if answer.status == 200 else None
        if template is not None:
            return _read(template.get("settings"))
        answer = await self._upstream.ask_as_proxy("GET", "/_template")
        if answer.status == 404:
            return IndexPipelines()
        used = IndexPipelines()
        for settings in _legacy(_document(answer), name):
            later = _read(settings)
            used = IndexPipelines(later.default or used.default, later.final or used.final)
        return used


def _legacy(templates: Mapping[str, Any], name: str) -> Iterator[Any]:
    """The settings of the legacy templates for an index, those that hold over others last."""
    for template in sorted(templates.values(), key=lambda one: one.get("order", 0)):
        if any(fnmatchcase(name, pattern) for pattern in template.get("index_patterns", ())):
            yield template.get("settings")


def _read(settings: Any) -> IndexPipelines:
    below = settings.get("index") if isinstance(settings, Mapping) else None
    if not isinstance(below, Mapping):
        return IndexPipelines()
    default, final = (below.get(name) for name in _NAMES)
    return IndexPipelines(*(None if one in (None, NONE) else str(one) for one in (default, final)))


def _document(answer: UpstreamAnswer) -> dict[str, Any]:
    """Raises: UpstreamBroken for anything but an object with status 200."""
    try:
        document: Any = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        document = None
    if answer.status != 200 or not isinstance(document, dict):
        raise UpstreamBroken(
            f"upstream node answered {answer.status} to a question about pipelines"
        )
    return document
