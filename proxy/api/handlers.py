"""The `_inference` routes: read, call the service, show the result."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial
from typing import Any, Final

from proxy.api.call import Call, Events
from proxy.api.changes import log_change
from proxy.api.order import BodyFirst, EndpointFirst, known_endpoint, order_of
from proxy.api.warnings import STALE, UNTRIED, incomplete, without_effect
from proxy.ground.errors import (
    EndpointAlreadyExists,
    IllegalArgument,
    NoHandler,
    StatusError,
    UnknownService,
)
from proxy.ground.masking import shown_value
from proxy.inference.catalogue import render_services
from proxy.inference.chat import (
    as_streamed_chat_error,
    as_unstreamed_chat_error,
    only_streaming,
    parse_chat_request,
)
from proxy.inference.dumping import check_size
from proxy.inference.endpoints import SERVICES, InferenceEndpoint, TaskType
from proxy.inference.fields import wrong_type
from proxy.inference.rendering import render_endpoint
from proxy.inference.requests import InferenceRequest, parse_inference_request, plain_request
from proxy.inference.service import refuse_streaming
from proxy.inference.settings import parse_endpoint
from proxy.inference.tasktypes import resolve_task_type
from proxy.inference.updates import parse_update
from proxy.limits.memory import PER_VALUE, reserve
from proxy.rest.responder import ErrorShape
from proxy.xcontent.document import Document
from proxy.xcontent.values import Json

CHAT: Final = ErrorShape(shown=as_unstreamed_chat_error)
CHAT_EVENT: Final = ErrorShape(shown=as_streamed_chat_error, is_event=True)

# Endpoints


async def put_endpoint(call: Call) -> Json:
    """PUT _inference/{task_type}/{inference_id}"""
    body = await call.body_map()
    task_type = resolve_task_type(call.task_type, body.pop("task_type", None))
    service = body.pop("service", None)
    if service is None:
        raise StatusError(400, "Inference endpoint configuration is missing the [service] setting")
    if not isinstance(service, str):
        raise IllegalArgument(wrong_type("service", service, "String"))
    if service not in SERVICES:
        await _keep_from_upstream(call)
        raise UnknownService(shown_value(service, "service"))
    check_size(body)
    endpoint = parse_endpoint(task_type, call.inference_id, service, body)

    async def is_taken() -> bool:
        found = await call.fetch(f"/_inference/{call.inference_id}")
        return isinstance(found, dict) and bool(found.get("endpoints"))

    created = await call.service.put(endpoint, call.timeout, is_taken, call.dependents)
    endpoint = created.endpoint
    log_change(call, "created", endpoint.inference_id, endpoint.task_type)
    if not created.tried:
        call.warnings.append(UNTRIED)
    return render_endpoint(endpoint)


async def _keep_from_upstream(call: Call) -> None:
    """Refuse an id of ours if the service may be the upstream's: the id is taken there, too."""
    if await call.service.exists(call.inference_id) and await call.fetch("/_inference/_services"):
        raise EndpointAlreadyExists(call.inference_id)


async def update_endpoint(call: Call) -> Json:
    """PUT _inference/{task_type}/{inference_id}/_update"""
    rules = call.profile.update_rules(call.rest.headers.get("x-elastic-client-meta", ""))
    body = await call.body_map()
    check_size(body)
    update = parse_update(body, rules)
    task_type = resolve_task_type(call.task_type, update.task_type)
    changed = await call.service.update(call.inference_id, task_type, update, call.timeout)
    log_change(call, "changed", call.inference_id, task_type)
    endpoint = known_endpoint(call, changed)
    if ignored := update.without_effect(endpoint):
        call.warnings.append(without_effect(ignored))
    return render_endpoint(endpoint)


async def get_endpoint(call: Call) -> Json:
    """GET _inference/{task_type}/{inference_id}; `_all` and `*` mean all"""
    if call.inference_id in ("", "_all", "*"):
        return await get_endpoints(call)
    known = await call.service.get(call.inference_id, call.task_type)
    return {"endpoints": [render_endpoint(known_endpoint(call, known))]}


async def get_endpoints(call: Call) -> Json:
    """GET _inference/_all: ours and the upstream's; where both have an id, ours"""
    theirs = await call.fetch(call.rest.path)
    found = await call.service.find(call.task_type)
    call.warnings.extend(incomplete(found))
    ours = [render_endpoint(endpoint) for endpoint in found.endpoints]
    others = theirs.get("endpoints") if isinstance(theirs, dict) else None
    return {"endpoints": _merged("inference_id", others, ours)}


async def delete_endpoint(call: Call) -> Json:
    """DELETE _inference/{task_type}/{inference_id}"""
    deletion = await call.service.delete(
        call.inference_id,
        call.task_type,
        dry_run=call.flags["dry_run"],
        force=call.flags["force"],
        dependents=call.dependents,
    )
    if deletion.stale:
        call.warnings.append(STALE)
    if not call.flags["dry_run"]:
        log_change(call, "deleted", call.inference_id, deletion.task_type)
    return deletion.result


async def get_services(call: Call) -> list[Json]:
    """GET _inference/_services: ours and the upstream's; where both have a service, ours"""
    theirs = await call.fetch(call.rest.path)
    return _merged("service", theirs, render_services(call.task_type))


def _merged(key: str, theirs: Any, ours: list[Json]) -> list[Json]:
    """Both lists as one, sorted by `key`; ours replace theirs of the same name."""
    by_name = {}
    for entry in [*(theirs if isinstance(theirs, list) else []), *ours]:
        if isinstance(entry, dict) and isinstance(entry.get(key), str):
            by_name[entry[key]] = entry
    return [by_name[name] for name in sorted(by_name)]


async def get_diagnostics(call: Call) -> Json:
    """GET _inference/.diagnostics: only an upstream's own plugin has any"""
    raise NoHandler(call.rest.method, call.rest.target)


# Inference


async def infer(call: Call) -> Json:
    """POST _inference/{task_type}/{inference_id}"""
    order = await order_of(call)
    if order.task_type is TaskType.CHAT_COMPLETION:
        call.responder = call.responder.shaping(CHAT)
        if not call.profile.answers_unstreamed_chats:
            raise only_streaming()
        endpoint, chat = await order.read(partial(parse_chat_request, reasons=call.profile.reasons))
        return await call.service.unstreamed_chat(endpoint, chat, call.timeout)
    endpoint, request = await _read(call, order)
    return await call.service.infer(endpoint, request, call.timeout)


async def stream(call: Call) -> Events:
    """POST _inference/{task_type}/{inference_id}/_stream"""
    order = await order_of(call)
    if order.task_type is TaskType.CHAT_COMPLETION:
        call.responder = call.responder.shaping(CHAT_EVENT)
        endpoint, chat = await order.read(partial(parse_chat_request, reasons=call.profile.reasons))
        return await call.service.chat(endpoint, chat, call.timeout)
    endpoint, request = await _read(call, order)
    refuse_streaming(endpoint, call.task_type)
    return await call.service.stream(endpoint, request, call.timeout)


def _read(
    call: Call, order: BodyFirst | EndpointFirst
) -> Awaitable[tuple[InferenceEndpoint, InferenceRequest]]:
    return order.read(partial(_parse_request, call), _plain(call))


def _parse_request(call: Call, document: Document) -> InferenceRequest:
    return _checked(call, parse_inference_request(document))


def _plain(call: Call) -> InferenceRequest | None:
    """What `_parse_request` makes of most bodies, at less cost; None for all others."""
    body = call.body
    if not body.is_json or (request := plain_request(body.data)) is None:
        return None
    values = 2 + len(request.input or ())  # the object, and what may be a list
    if values > body.bounds.values:
        return None
    call.reserve_texts()
    reserve(values * PER_VALUE)
    return _checked(call, request)


def _checked(call: Call, request: InferenceRequest) -> InferenceRequest:
    request.validate(call.task_type, call.profile)
    if (count := len(request.input or [])) > call.max_inputs:
        raise IllegalArgument(
            f"the number of inputs [{count}] exceeds the maximum allowed [{call.max_inputs}]"
        ).of_limit("inputs")
    return request
