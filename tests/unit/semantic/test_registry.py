"""What the registry remembers, and when it asks anew; a stand-in plays the upstream."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from proxy.ground.errors import UpstreamUnavailable
from proxy.semantic.layout import field_mapping
from proxy.semantic.registry import Registry
from proxy.upstream.asking import UpstreamAnswer

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
        return self._answer(target)

    def _answer(self, target: str) -> UpstreamAnswer:
        path = target.partition("?")[0]
        match path.split("/")[1:]:
            case ["_cluster", "state", "version"]:
                return answered(200, {"state_uuid": str(self.state)})
            case ["_all", "_field_caps"]:
                found = [name for name, mapping in self.indices.items() if "xinf" in str(mapping)]
                types = {"keyword": {"indices": found}}
                return answered(200, {"fields": {"xinf.body.def1": types} if found else {}})
            case ["_all", "_mapping"]:
                return answered(200, {})
            case ["_index_template", *rest]:
                return answered(
                    200, {"index_templates": [{}]} if self.templates and not rest else {}
                )
            case ["_component_template" | "_template"] | ["_ingest", "pipeline"]:
                return answered(200, {})
            case [names, "_mapping"]:
                wanted = names.split(",")
                return answered(200, {name: {"mappings": self.indices[name]} for name in wanted})
            case [name]:
                found = [one for one in self.indices if one == name or name in ("*", "_all")]
                return answered(200, {one: {"aliases": {}} for one in found})
        raise AssertionError(target)


def answered(status: int, document: Any) -> UpstreamAnswer:
    return UpstreamAnswer(status=status, headers={}, body=orjson.dumps(document))


def registry(cluster: Cluster) -> Registry:
    return Registry(cluster, 0.01)  # type: ignore[arg-type] # it asks as the proxy only


async def test_a_plain_name_is_looked_up_once():
    cluster = Cluster(plain={}, notes=SEMANTIC)
    known = registry(cluster)
    assert not (await known.look_up("plain")).fields
    assert "plain" in known.snapshot.plain
    asked = len(cluster.asked)
    await known.look_up("plain")
    await known.look()
    assert cluster.asked[asked:] == ["/_cluster/state/version?filter_path=state_uuid"]
    assert "plain" in known.snapshot.plain


async def test_a_new_state_is_known_by_another_generation():
    cluster = Cluster(plain={}, notes=SEMANTIC)
    known = registry(cluster)
    await known.look()
    first = known.generation
    await known.look_up("plain")
    second = known.generation
    assert second is not first
    cluster.indices["plain"], cluster.state = SEMANTIC, 2
    await known.look()
    assert known.generation is not second
    assert list((await known.look_up("plain")).fields) == ["plain"]


async def test_what_does_not_exist_is_not_remembered():
    cluster = Cluster(notes=SEMANTIC)
    known = registry(cluster)
    assert not (await known.look_up("late")).exists
    cluster.indices["late"] = SEMANTIC  # and nobody has looked since
    assert (await known.look_up("late")).fields["late"]["body"].inference_id == "embed"


async def test_a_look_takes_note_of_all_that_happened_before_it_was_asked_for():
    cluster = Cluster(plain={})
    known = registry(cluster)

    async def change() -> None:
        await cluster.asks(1)
        cluster.indices["plain"], cluster.state = SEMANTIC, 2
        await asyncio.gather(known.look(), known.look())

    await asyncio.gather(known.look(), change())
    assert known.snapshot.active
    assert known.snapshot.state == "2"
    assert sum("state" in one for one in cluster.asked) == 2  # those that came late shared one


async def test_an_upstream_that_is_away_takes_nothing_away_and_is_told_of_once(caplog):
    cluster = Cluster(plain={}, notes=SEMANTIC)
    known = registry(cluster)
    await known.look_up("plain")
    cluster.away = True
    caplog.set_level("INFO")
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(known.run())
        await cluster.asks(5)
        assert "plain" in known.snapshot.plain
        cluster.away = False
        await cluster.asks(2)
        running.cancel()
    assert [record.message for record in caplog.records] == [
        "cannot see which indices have semantic fields, going by what was seen: "
        "upstream node is away",
        "which indices have semantic fields can be seen again",
    ]


async def test_a_change_that_cannot_be_looked_at_makes_everything_uncertain():
    cluster = Cluster(plain={})
    known = registry(cluster)
    await known.look()
    cluster.away = True
    await known.changed()
    assert known.snapshot.active
    with pytest.raises(UpstreamUnavailable):
        await known.look_up("plain")
    cluster.away = False
    assert not (await known.look_up("plain")).fields
    assert not known.snapshot.active


async def test_without_monitor_every_look_is_at_all_mappings(caplog):
    cluster = Cluster(plain={})
    cluster.forbidden = ("/_cluster",)
    known = registry(cluster)
    await known.look()
    cluster.indices["plain"] = SEMANTIC
    await known.look()
    assert known.snapshot.declared.indices == {"plain"}
    assert sum("[monitor]" in record.message for record in caplog.records) == 1


async def test_names_are_remembered_within_bounds():
    cluster = Cluster(**{f"i{number}": {} for number in range(3000)}, notes=SEMANTIC)
    known = registry(cluster)
    for number in range(2500):
        await known.look_up(f"i{number}")
    assert len(known.snapshot.targets) == 2000
    assert len(known.snapshot.plain) == 2500
    await known.look_up("i1," * 200)
    assert "i1," * 200 not in known.snapshot.plain


async def test_a_cluster_with_a_template_alone_is_looked_at():
    cluster = Cluster()
    cluster.templates = True
    known = registry(cluster)
    await known.look()
    assert known.snapshot.active
