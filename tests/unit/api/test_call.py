"""A request as its handler sees it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.api.call import Call
from proxy.ground.errors import MemoryShort, ProxyError
from proxy.inference.endpoints import TaskType
from proxy.limits.memory import MemoryBudget
from proxy.rest.body import Body
from proxy.rest.request import parse_request
from proxy.rest.responder import responder_for
from proxy.xcontent.document import Bounds
from tests.support.samples import PROFILE


def call(data: bytes = b"", timeout: float | None = None) -> Call:
    headers = CIMultiDictProxy(CIMultiDict({"Content-Type": "application/json"}))
    rest = parse_request("POST", "/_inference/e", headers)
    unused: Any = None
    return Call(
        rest=rest,
        body=Body(rest, data, data, Bounds(nesting=100, values=1_000_000)),
        responder=responder_for(rest),
        task_type=TaskType.ANY,
        inference_id="e",
        times={} if timeout is None else {"timeout": timeout},
        flags={},
        service=unused,
        profile=PROFILE,
        max_inputs=10,
        fetch=unused,
        dependents=unused,
    )


@pytest.mark.parametrize("data", [b'{"a":1}', b'{"a":1' + b" " * 500_000 + b"}"])
async def test_a_body_is_a_map(data: bytes):
    assert await call(data).body_map() == {"a": 1}


@pytest.mark.parametrize("data", [b"", b"[1]", b"5"])
async def test_anything_else_is_an_empty_one(data: bytes):
    assert await call(data).body_map() == {}


async def test_a_body_that_breaks_off_is_refused():
    with pytest.raises(ProxyError):
        await call(b'{"a":').body_map()


async def test_what_is_read_counts_as_memory():
    budget = MemoryBudget(1000)
    body = b"[" + b"1," * 1000 + b"1]"

    async def read() -> None:
        with budget.request():
            await call(body).read(lambda document: document.plain())

    with pytest.raises(MemoryShort):
        await read()


async def test_a_caller_may_bound_the_time():
    bounded = call(timeout=0.0)
    assert bounded.timeout == 0.0

    async def wait() -> None:
        async with bounded.in_time():
            await asyncio.Event().wait()

    with pytest.raises(ProxyError) as caught:
        await wait()
    assert "[e]" in caught.value.reason


@pytest.mark.parametrize("timeout", [None, -1.0])
async def test_a_caller_may_leave_the_time_open(timeout: float | None):
    async with call(timeout=timeout).in_time():
        await asyncio.sleep(0)
