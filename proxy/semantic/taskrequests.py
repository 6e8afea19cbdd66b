"""Requests about tasks: those of this process beside the upstream's.

Whether a caller may see or cancel tasks, the upstream says, for it is asked each time.
Source: RestListTasksAction, RestGetTaskAction, RestCancelTasksAction, ListTasksResponse.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from aiohttp import web

from proxy.semantic.exchange import Exchange
from proxy.semantic.hiding import hide_in_error
from proxy.semantic.tasks import Task
from proxy.xcontent.times import parse_time

_TRUE: Final = ("", "true")


async def list_tasks(exchange: Exchange) -> web.StreamResponse:
    """The tasks under way of the whole cluster, and ours among them."""
    parameters = exchange.rest.parameters
    ours = [task for task in exchange.parts.tasks.under_way() if _is_wanted(task, parameters)]
    if not ours:
        return await exchange.hand_on_cut()
    answer = await exchange.ask()
    if answer.status >= 300:
        return await exchange.as_is(answer)
    detailed = parameters.get("detailed") in _TRUE
    infos = {task.id: _info(task, detailed=detailed) for task in ours}
    group = parameters.get("group_by", "nodes")
    return await exchange.patched(
        answer, lambda document: _listed(hide_in_error(document), infos, group)
    )


async def get_task(exchange: Exchange) -> web.StreamResponse:
    """One task; with `wait_for_completion`, one of ours once it has ended."""
    tasks, task_id = exchange.parts.tasks, exchange.names["task_id"]
    if not tasks.is_ours(task_id):
        return await exchange.hand_on_cut()
    allowed = await exchange.ask(target=exchange.rest.path)  # where it is not known
    if allowed.status in (401, 403):
        return await exchange.as_is(allowed)
    task = tasks.find(task_id)
    if exchange.rest.parameters.get("wait_for_completion") in _TRUE:
        seconds = parse_time(exchange.rest.parameters.get("timeout", "30s"), "timeout")
        await tasks.wait(task, seconds)
    return await exchange.made(200, task.rendered())


async def cancel_task(exchange: Exchange) -> web.StreamResponse:
    """Cancel one task."""
    tasks, task_id = exchange.parts.tasks, exchange.names["task_id"]
    if not tasks.is_ours(task_id):
        return await exchange.hand_on()
    allowed = await exchange.ask(target=exchange.rest.path)
    if allowed.status in (401, 403):
        return await exchange.as_is(allowed)
    task = tasks.find(task_id)
    tasks.cancel(task)
    return await exchange.made(200, {"nodes": {task.node: _node({task.id: task.info()})}})


def _is_wanted(task: Task, parameters: Mapping[str, str]) -> bool:
    """Whether a listing with these parameters has it."""
    if parameters.get("parent_task_id"):
        return False
    nodes = parameters.get("nodes", "_all")
    if nodes not in ("", "_all", "*") and task.node not in nodes.split(","):
        return False
    actions = parameters.get("actions", "*")
    return any(fnmatchcase(task.action, pattern) for pattern in actions.split(","))


def _info(task: Task, *, detailed: bool) -> dict[str, Any]:
    info = task.info()
    if not detailed:
        del info["description"], info["status"]
    return info


def _listed(document: Any, infos: Mapping[str, Mapping[str, Any]], group: str) -> Any:
    if group == "nodes":
        nodes: dict[str, Any] = document.setdefault("nodes", {})
        nodes[next(iter(infos.values()))["node"]] = _node(infos)
    elif group == "none":
        document.setdefault("tasks", []).extend(infos.values())
    else:
        document.setdefault("tasks", {}).update(infos)
    return document


def _node(infos: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {"name": next(iter(infos.values()))["node"], "roles": [], "tasks": dict(infos)}
