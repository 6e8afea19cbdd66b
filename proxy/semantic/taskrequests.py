"""Requests about tasks: those of all proxies beside the upstream's.

Whether a caller may see or cancel tasks, the upstream says, for it is asked each time.
Source: RestListTasksAction, RestGetTaskAction, RestCancelTasksAction, ListTasksResponse.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Any, Final

from aiohttp import web

from proxy.semantic.exchange import Exchange
from proxy.semantic.hiding import hide_in_error
from proxy.semantic.tasks import TaskMissing
from proxy.semantic.taskstates import TaskState
from proxy.xcontent.times import parse_time

_TRUE: Final = ("", "true")


async def list_tasks(exchange: Exchange) -> web.StreamResponse:
    """The tasks under way of the whole cluster, and ours among them."""
    ours = await _wanted(exchange)
    if not ours:
        return await exchange.hand_on_cut()
    answer = await exchange.ask()
    if answer.status >= 300:
        return await exchange.as_is(answer)
    parameters = exchange.rest.parameters
    detailed = parameters.get("detailed") in _TRUE
    group = parameters.get("group_by", "nodes")
    return await exchange.patched(
        answer,
        lambda document: _listed(hide_in_error(document), ours, group, detailed=detailed),
    )


async def get_task(exchange: Exchange) -> web.StreamResponse:
    """One task; with `wait_for_completion`, one of ours once it has ended."""
    tasks, task_id = exchange.parts.tasks, exchange.names["task_id"]
    if not tasks.is_ours(task_id):
        return await exchange.hand_on_cut()
    allowed = await exchange.ask(target=exchange.rest.path)  # where it is not known
    if allowed.status in (401, 403):
        return await exchange.as_is(allowed)
    if exchange.rest.parameters.get("wait_for_completion") in _TRUE:
        seconds = parse_time(exchange.rest.parameters.get("timeout", "30s"), "timeout")
        state = await tasks.wait_for(task_id, seconds)
    else:
        state = await tasks.find(task_id)
    return await exchange.made(200, state.rendered())


async def cancel_task(exchange: Exchange) -> web.StreamResponse:
    """Cancel one task."""
    tasks, task_id = exchange.parts.tasks, exchange.names["task_id"]
    if not tasks.is_ours(task_id):
        return await exchange.hand_on()
    allowed = await exchange.ask(target=exchange.rest.path)
    if allowed.status in (401, 403):
        return await exchange.as_is(allowed)
    state = await tasks.cancel_one(task_id)
    return await exchange.made(200, {"nodes": _nodes([state], detailed=True)})


async def cancel_tasks(exchange: Exchange) -> web.StreamResponse:
    """Cancel all tasks of some actions or nodes, of the cluster's and of ours."""
    ours = await _wanted(exchange)
    if not ours:
        return await exchange.hand_on_cut()
    answer = await exchange.ask(await exchange.read() or None)
    if answer.status >= 300:
        return await exchange.as_is(answer)
    states = []
    for one in ours:
        with suppress(TaskMissing):  # it has ended meanwhile
            states.append(await exchange.parts.tasks.cancel_one(one.id))
    group = exchange.rest.parameters.get("group_by", "nodes")
    return await exchange.patched(
        answer, lambda document: _listed(hide_in_error(document), states, group, detailed=True)
    )


async def _wanted(exchange: Exchange) -> list[TaskState]:
    """Those of ours that the parameters of a listing ask for."""
    parameters = exchange.rest.parameters
    return [one for one in await exchange.parts.tasks.under_way() if _is_wanted(one, parameters)]


def _is_wanted(task: TaskState, parameters: Mapping[str, str]) -> bool:
    if parameters.get("parent_task_id"):
        return False
    nodes = parameters.get("nodes", "_all")
    if nodes not in ("", "_all", "*") and task.node not in nodes.split(","):
        return False
    actions = parameters.get("actions", "*")
    return any(fnmatchcase(task.action, pattern) for pattern in actions.split(","))


def _info(task: TaskState, *, detailed: bool) -> dict[str, Any]:
    info = task.info()
    if not detailed:
        del info["description"], info["status"]
    return info


def _listed(document: Any, ours: Iterable[TaskState], group: str, *, detailed: bool) -> Any:
    if group == "nodes":
        document.setdefault("nodes", {}).update(_nodes(ours, detailed=detailed))
        return document
    infos = {task.id: _info(task, detailed=detailed) for task in ours}
    if group == "none":
        document.setdefault("tasks", []).extend(infos.values())
    else:
        document.setdefault("tasks", {}).update(infos)
    return document


def _nodes(ours: Iterable[TaskState], *, detailed: bool) -> dict[str, Any]:
    """Tasks by the process that runs them."""
    found: dict[str, Any] = {}
    for task in ours:
        node = found.setdefault(task.node, {"name": task.node, "roles": [], "tasks": {}})
        node["tasks"][task.id] = _info(task, detailed=detailed)
    return found
