"""What the registry remembers, and when it asks anew; a stand-in plays the upstream."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.ground.epoch import Epoch
from proxy.ground.errors import UpstreamUnavailable
from proxy.semantic.expressions import in_path
from proxy.semantic.interception import Interceptor
from proxy.semantic.registry import Registry
from proxy.semantic.targets import write_target
from proxy.semantic.upstreamrelease import UpstreamRelease
from tests.support.clock import Clock
from tests.support.waiting import eventually
from tests.unit.semantic.clusters import SEMANTIC, Cluster, answered, registry

NO_RELEASE = UpstreamRelease(None)  # type: ignore[arg-type] # it is not asked


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
    first = known.generation()
    await known.look_up("plain")
    second = known.generation()
    assert second is not first
    cluster.indices["plain"], cluster.state = SEMANTIC, 2
    await known.look()
    assert known.generation() is not second
    assert list((await known.look_up("plain")).fields) == ["plain"]


async def test_what_does_not_exist_is_not_remembered():
    cluster = Cluster(notes=SEMANTIC)
    known = registry(cluster)
    assert not (await known.look_up("late")).exists
    cluster.indices["late"] = SEMANTIC  # and nobody has looked since
    assert (await known.look_up("late")).fields["late"]["body"].inference_id == "embed"


@pytest.mark.parametrize(
    ("expression", "is_clear"),
    [
        ("plain", True),
        ("plain,", True),
        ("plain,plain", True),
        ("plain::data,plain", True),
        ("plain,*", True),
        ("plain,*,-late", True),
        ("plain,late", False),
        ("*,late", False),
        ("plain,<late-{now/d}>", False),
        ("notes,late", True),  # as it has fields all the same
    ],
)
async def test_what_is_not_all_seen_is_not_taken_to_be_plain(expression: str, is_clear: bool):
    cluster = Cluster(plain={}, notes=SEMANTIC)
    known = registry(cluster)
    await known.look()
    names = ["notes"] if "notes" in expression else ["plain"]
    here: dict[str, Any] = {name: {"aliases": {}} for name in names}
    cluster.answers[f"/{in_path(expression)}"] = answered(200, here)
    found = await known.look_up(expression)
    assert found.exists
    assert found.is_clear is is_clear
    assert (expression in known.snapshot.plain) is (is_clear and not found.fields)


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
        "cannot see which indices have semantic fields: documents are soon refused, all else "
        "goes by what was seen: "
        "upstream node is away",
        "which indices have semantic fields can be seen again",
    ]


def is_current(known: Registry) -> bool:
    return known.is_current


async def test_nobody_is_asked_while_there_are_no_requests_and_the_next_one_looks_first():
    cluster, clock = Cluster(plain={}), Clock()
    known = registry(cluster, patience=0.1, clock=clock)
    async with asyncio.timeout(15), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(known.run())
        await known.look()
        clock.now += 0.2
        assert is_current(known)
        await asyncio.to_thread(eventually, lambda: not is_current(known))
        asked = len(cluster.asked)
        await asyncio.sleep(0.05)  # several times the time between two looks
        assert len(cluster.asked) == asked
        cluster.indices["plain"], cluster.state = SEMANTIC, 2
        assert known.snapshot.active  # whatever is asked for is looked at
        assert (await known.look_up("plain")).fields
        assert is_current(known)
        await cluster.asks(2)  # and it goes on
        running.cancel()


async def test_requests_keep_it_looking():
    cluster, clock = Cluster(plain={}), Clock()
    known = registry(cluster, patience=0.1, clock=clock)
    async with asyncio.timeout(15), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(known.run())
        for _ in range(50):
            await cluster.asks(1)
            clock.now += 0.05
            assert known.generation() is not None
        running.cancel()


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


async def test_what_one_worker_has_changed_is_known_to_the_others_before_their_next_look():
    cluster = Cluster(plain={})
    shared = Epoch()
    one, two = (registry(cluster, shared) for _ in range(2))
    await asyncio.gather(one.look(), two.look())
    lane = Interceptor(two, NO_RELEASE)
    assert not lane.takes(b"POST", b"/_bulk")
    known = two.generation()
    cluster.indices["notes"], cluster.state = SEMANTIC, 2
    await one.changed()
    assert two.generation() is not known
    assert lane.takes(b"POST", b"/_bulk")
    assert lane.takes(b"GET", b"/notes/_search")
    assert (await write_target(two, "notes")).fields
    assert two.generation() is not known
    assert two.generation() is two.generation()


async def test_a_change_that_has_changed_nothing_is_looked_at_without_reading_all_anew():
    cluster = Cluster(plain={})
    shared = Epoch()
    known = registry(cluster, shared)
    await known.look_up("plain")
    shared.renew()
    asked = len(cluster.asked)
    assert not (await known.look_up("plain")).fields
    assert cluster.asked[asked:] == ["/_cluster/state/version?filter_path=state_uuid"]


async def test_nothing_is_written_by_what_was_seen_too_long_ago():
    cluster, clock = Cluster(plain={}), Clock()
    known = registry(cluster, clock=clock)
    await known.look_up("plain")
    lane = Interceptor(known, NO_RELEASE)
    before = known.generation()
    clock.now += 0.9
    assert known.generation() is before
    assert not lane.takes(b"POST", b"/plain/_doc")
    cluster.indices["plain"], cluster.state = SEMANTIC, 2  # another proxy does so
    clock.now += 0.2
    assert known.generation() is not before
    assert lane.takes(b"POST", b"/plain/_doc")
    assert not lane.takes(b"GET", b"/plain/_search")  # what is only read goes by what was seen
    cluster.away = True
    with pytest.raises(UpstreamUnavailable):
        await write_target(known, "plain")
    cluster.away = False
    assert (await write_target(known, "plain")).fields


@pytest.mark.parametrize("has_fields", [False, True])
async def test_expired_credentials_stop_writes_only_where_there_are_fields(has_fields):
    cluster, clock = Cluster(plain={}), Clock()
    if has_fields:
        cluster.indices["notes"] = SEMANTIC
    known = registry(cluster, clock=clock)
    await known.look()
    lane = Interceptor(known, NO_RELEASE)
    cluster.answers["/_cluster/state/version"] = answered(401, {})
    clock.now += 60
    if has_fields:
        with pytest.raises(UpstreamUnavailable):
            await known.look()
    else:
        await known.look()
    assert lane.takes(b"POST", b"/new/_bulk") is has_fields


async def test_a_target_is_not_kept_among_what_was_found_out_since():
    cluster = Cluster(notes=SEMANTIC)
    known = registry(cluster)
    await known.look()
    before = known.snapshot
    cluster.state = 2
    await known.look_up("notes")
    await known.look()
    await known.look_up("notes")
    known.keep_written(before, "notes", "as it was")
    assert before.written
    assert not known.snapshot.written


async def test_an_index_that_goes_while_it_is_looked_up_is_looked_up_again():
    cluster = Cluster(notes={})
    known = registry(cluster)
    await known.look()
    cluster.vanishing = ["notes"]
    assert not (await known.look_up("notes")).exists
    assert "notes" not in known.snapshot.targets
    cluster.indices["notes"] = SEMANTIC
    assert (await known.look_up("notes")).fields
