"""Tasks of the proxies beside those of the upstream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from proxy.semantic.tasks import Task
from tests.unit.semantic.exchanges import Answer, World, world
from tests.unit.semantic.targets import target

ACTION: Final = "indices:data/write/reindex"


@asynccontextmanager
async def running(*answers: Any) -> AsyncIterator[tuple[World, Task]]:
    """A world in which a task of ours is under way."""
    here = world(target(), *answers)

    async def work(task: Task) -> dict[str, Any]:
        await task.pause(60)
        return {"created": 0}

    async with asyncio.TaskGroup() as group:
        here.tasks.open(group)
        task = await here.tasks.begin(ACTION, "reindex", lambda: {}, work, is_behind=True)
        yield here, task
        here.tasks.close()


async def test_ours_are_listed_by_their_process():
    async with running({"nodes": {"n": {"tasks": {}}}}) as (here, task):
        answer = await here.request("GET", "/_tasks")
    assert answer["nodes"].keys() == {"n", task.node}
    info = answer["nodes"][task.node]["tasks"][task.id]
    assert info["action"] == ACTION
    assert "description" not in info


@pytest.mark.parametrize(
    ("group", "found"), [("none", lambda one: one[0]["id"]), ("parents", lambda one: len(one))]
)
async def test_listings_may_be_flat(group: str, found: Any):
    async with running({"tasks": [] if group == "none" else {}}) as (here, task):
        answer = await here.request("GET", f"/_tasks?group_by={group}&detailed")
    assert found(answer["tasks"]) == 1
    assert task.number == 1


@pytest.mark.parametrize(
    "query", ["actions=*search*", "nodes=other", "parent_task_id=x:1", "actions=cluster:*"]
)
async def test_a_listing_of_others_is_passed_on(query: str):
    async with running() as (here, _):
        await here.request("GET", f"/_tasks?{query}")
        assert len(here.upstream.handed) == 1


async def test_who_may_not_list_is_shown_none():
    async with running(Answer({"error": "no"}, 403)) as (here, _):
        answer = await here.answer("GET", "/_tasks?actions=*reindex")
    assert answer.status == 403


async def test_one_of_ours_is_shown_to_who_may_see_tasks():
    async with running(Answer({}, 404)) as (here, task):
        shown = await here.request("GET", f"/_tasks/{task.id}")
        assert (shown["completed"], shown["task"]["id"]) == (False, task.number)
    async with running(Answer({"error": "no"}, 403)) as (here, task):
        assert (await here.answer("GET", f"/_tasks/{task.id}")).status == 403
        assert (await here.answer("POST", f"/_tasks/{task.id}/_cancel")).status == 403
        assert not task.is_cancelled


async def test_one_is_cancelled():
    async with running(Answer({}, 404)) as (here, task):
        answer = await here.request("POST", f"/_tasks/{task.id}/_cancel")
        assert answer["nodes"][task.node]["tasks"][task.id]["cancelled"] is True
        assert task.is_cancelled


async def test_all_of_an_action_are_cancelled():
    async with running({"nodes": {}}) as (here, task):
        answer = await here.request("POST", "/_tasks/_cancel?actions=*reindex")
        assert list(answer["nodes"]) == [task.node]
        assert task.is_cancelled


async def test_tasks_of_the_upstream_are_passed_on():
    here = world(target())
    await here.request("GET", "/_tasks/node:1")
    await here.request("POST", "/_tasks/node:1/_cancel")
    assert len(here.upstream.handed) == 2
