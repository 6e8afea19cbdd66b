"""A stand-in for an upstream that is asked about its indices."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from proxy.ground.epoch import Epoch
from proxy.ground.errors import UpstreamUnavailable
from proxy.semantic.layout import field_mapping
from proxy.semantic.registry import Registry
from proxy.upstream.passingback import UpstreamAnswer

DEFINITION = {"inference_id": "embed"}
SEMANTIC = {
    "properties": {
        "body": {"type": "text", "index": False},
        "xinf": {"properties": {"body": field_mapping(DEFINITION, None)}},
    }
}


class Cluster:
    """An upstream with these indices, the mapping of each by its name."""

    def __init__(self, **indices: Any) -> None:
        self.indices = indices
        self.templates = False
        self.state = 1
        self.asked: list[str] = []
        self.away = False
        self.forbidden: tuple[str, ...] = ()
        self.was_asked = asyncio.Event()
        self.answers: dict[str, UpstreamAnswer] = {}  # by path, in place of its own
        self.missing: dict[str, UpstreamAnswer] = {}  # where what is unavailable is an error
        self.vanishing: list[str] = []  # indices that go once somebody has seen them

    async def asks(self, count: int) -> None:
        """Wait until that much more has been asked."""
        for _ in range(count):
            self.was_asked.clear()
            await self.was_asked.wait()

    async def ask_as_proxy(self, method: str, target: str, body: bytes = b"") -> UpstreamAnswer:
        await asyncio.sleep(0)
        self.asked.append(target)
        self.was_asked.set()
        if self.away:
            raise UpstreamUnavailable("upstream node is away")
        if target.startswith(self.forbidden):
            return answered(403, {})
        path = target.partition("?")[0]
        if path in self.missing and "ignore_unavailable" not in target:
            return self.missing[path]
        return self.answers.get(path) or self._answer(target)

    def _answer(self, target: str) -> UpstreamAnswer:
        path = target.partition("?")[0]
        match path.split("/")[1:]:
            case ["_cluster", "state", "version"]:
                return answered(200, {"state_uuid": str(self.state)})
            case ["_all", "_field_caps"]:
                found = [name for name, mapping in self.indices.items() if "xinf" in str(mapping)]
                types = {"keyword": {"indices": found}}
                fields = {"xinf.body.def1": types} if found else {}
                return answered(200, {"indices": list(self.indices), "fields": fields})
            case ["_all", "_mapping"]:
                is_open = "expand_wildcards=open" in target
                found = [name for name, mapping in self.indices.items() if "xinf" in str(mapping)]
                return answered(200, {name: {} for name in found} if is_open else {})
            case ["_index_template", *rest]:
                return answered(
                    200, {"index_templates": [{}]} if self.templates and not rest else {}
                )
            case ["_component_template" | "_template"] | ["_ingest", "pipeline"]:
                return answered(200, {})
            case [names, "_mapping"]:
                wanted = [name for name in names.split(",") if name in self.indices]
                return answered(200, {name: {"mappings": self.indices[name]} for name in wanted})
            case [_, "_settings"]:
                return answered(200, {})
            case [name]:
                found = [one for one in self.indices if one == name or name in ("*", "_all")]
                while self.vanishing:
                    self.indices.pop(self.vanishing.pop(), None)
                return answered(200, {one: {"aliases": {}} for one in found})
        raise AssertionError(target)


def answered(status: int, document: Any) -> UpstreamAnswer:
    return UpstreamAnswer(status=status, headers={}, body=orjson.dumps(document))


def registry(cluster: Cluster, epoch: Epoch | None = None, **options: Any) -> Registry:
    return Registry(cluster, 0.01, epoch or Epoch(), **options)  # type: ignore[arg-type] # it asks as the proxy
