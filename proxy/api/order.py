"""The two orders in which an inference reads its body and looks up its endpoint.

They decide which error a caller sees whose request has both a bad body and an unknown id.
Source: TransportInferenceActionProxy, which resolves the task type of an untyped path first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from proxy.api.call import Call
from proxy.api.warnings import STALE
from proxy.inference.endpoints import InferenceEndpoint, TaskType
from proxy.inference.ports import Known
from proxy.xcontent.document import Document

T = TypeVar("T")


class BodyFirst:
    """The path names the task type, which says how the body is read."""

    __slots__ = ("call", "task_type")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.task_type = call.task_type

    async def read(
        self, parse: Callable[[Document], T], known: T | None = None
    ) -> tuple[InferenceEndpoint, T]:
        """The endpoint, and what `parse` makes of the body, unless that is `known` already."""
        call = self.call
        request = await call.read(parse) if known is None else known
        endpoint = known_endpoint(
            call, await call.service.endpoint_for(call.inference_id, call.task_type)
        )
        call.body.forget()
        return endpoint, request


class EndpointFirst:
    """The path has an id alone: the endpoint says how the body is read."""

    __slots__ = ("call", "endpoint", "task_type")

    def __init__(self, call: Call, endpoint: InferenceEndpoint) -> None:
        self.call = call
        self.endpoint = endpoint
        self.task_type = endpoint.task_type

    async def read(
        self, parse: Callable[[Document], T], known: T | None = None
    ) -> tuple[InferenceEndpoint, T]:
        """The endpoint, and what `parse` makes of the body, unless that is `known` already."""
        request = await self.call.read(parse) if known is None else known
        self.call.body.forget()
        return self.endpoint, request


async def order_of(call: Call) -> BodyFirst | EndpointFirst:
    """Raises: EndpointNotFound where the endpoint comes first."""
    if call.task_type is TaskType.ANY:
        return EndpointFirst(call, await _look_up(call))
    return BodyFirst(call)


def known_endpoint(call: Call, known: Known) -> InferenceEndpoint:
    """The endpoint; the answer warns of a stale one."""
    if known.stale:
        call.warnings.append(STALE)
    return known.endpoint


async def _look_up(call: Call) -> InferenceEndpoint:
    return known_endpoint(call, await call.service.endpoint_for(call.inference_id, call.task_type))
