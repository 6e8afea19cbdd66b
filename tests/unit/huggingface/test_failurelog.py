"""What the log tells of providers that fail."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from proxy.ground.advice import TOO_LATE, Advice
from proxy.ground.errors import EndpointNotFound, Rejected, RequestTimedOut
from proxy.huggingface.failurelog import FailureLog
from proxy.huggingface.observing import Observer
from proxy.inference.endpoints import TaskType
from proxy.inference.within import until
from proxy.limits.deadline import NO_DEADLINE, Deadline
from proxy.telemetry.endpoints import Endpoints
from proxy.telemetry.storms import Storms
from tests.support.huggingface import Provider, answering, failing
from tests.support.samples import TOKEN, make_endpoint
from tests.support.stubs import Reply, event_reply, json_reply


@pytest.fixture
def warned(caplog):
    """The warnings so far."""

    def warned():
        return [one for one in caplog.records if one.levelno == logging.WARNING]

    return warned


async def test_a_failure_is_told_once_with_all_that_is_known(warned):
    async with answering(json_reply({"error": f"no {TOKEN}\nhere " + "x" * 5000}, 503)) as provider:
        path = f"/embed?key={TOKEN}"
        for _ in range(3):
            await failing(provider.embed("a", path=path, token=TOKEN))
        assert len(provider.calls) == 9
        (line,) = warned()
        fields = vars(line)
        assert fields["event.action"] == "provider-failed"
        assert fields["http.response.status_code"] == 503
        assert fields["url.full"] == f"{provider.server.url}/embed"
        assert (fields["labels.inference_id"], fields["labels.task_type"]) == (
            "e1",
            "text_embedding",
        )
        text = line.getMessage()
        assert "status [503]. Error message: [no ********" in text
        assert text.endswith(f"(text_embedding, {provider.server.url}/embed)")
        assert len(text) < 800
        assert TOKEN not in text + str(fields)


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (Reply(status=401), "authentication error"),
        (Reply(fault="reset"), "Cause: Connection"),
        (json_reply("nonsense"), "Failed to parse object"),
        (json_reply([[0.1], [0.2]]), "does not equal the number of"),
    ],
)
async def test_every_kind_of_failure_is_told(warned, reply, told):
    async with answering(reply) as provider:
        await failing(provider.embed("a"))
    (line,) = warned()
    assert told in line.getMessage()


async def test_an_address_that_is_no_host_is_told_without_its_query(warned):
    async with answering(Reply()) as provider:
        endpoint = make_endpoint(url=f"http://no.such.host.invalid/x?key={TOKEN}")
        await failing(provider.hugging_face.embed(endpoint, ["a"], NO_DEADLINE))
    (line,) = warned()
    assert "Invalid host [http://no.such.host.invalid/x]" in line.getMessage()
    assert TOKEN not in str(vars(line))


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=404),
        event_reply("data: {\n\n"),
        event_reply("data: {}\n\n", fault="reset_after"),
    ],
    ids=["refused", "malformed", "broken off"],
)
async def test_a_stream_that_fails_is_told_once(warned, reply):
    async with answering(reply) as provider:
        await failing(provider.deltas())
        (line,) = warned()
        assert vars(line)["labels.task_type"] == TaskType.COMPLETION


async def test_a_success_and_a_limit_of_our_own_are_no_failures(warned):
    failures = FailureLog(Storms(), Observer(Endpoints(), Storms()))
    async with answering(json_reply([[0.1]])) as provider:
        await provider.embed("a")
    with pytest.raises(Rejected), failures.watching(make_endpoint(), NO_DEADLINE):
        raise Rejected("too many", "calls")
    assert warned() == []


async def test_what_the_deadline_ends_is_told_and_what_the_caller_ends_is_not(warned):
    failures = FailureLog(Storms(), Observer(Endpoints(), Storms()))
    for deadline in (NO_DEADLINE, Deadline.after(1000)):
        with pytest.raises(asyncio.CancelledError), failures.watching(make_endpoint(), deadline):
            raise asyncio.CancelledError
    assert warned() == []
    passed = Deadline.after(0)
    with pytest.raises(asyncio.CancelledError), failures.watching(make_endpoint(), passed):
        raise asyncio.CancelledError
    (line,) = warned()
    assert "failed: no result in time" in line.getMessage()


async def test_a_storm_is_counted(warned):
    timers = []
    storms = Storms(lambda _, call, kind, /: timers.append((call, kind)))
    failures = FailureLog(storms, Observer(Endpoints(), storms))
    for _ in range(500):
        failures.failed(make_endpoint(), EndpointNotFound("x"))
        failures.failed(make_endpoint(inference_id="e2"), EndpointNotFound("x"))
    assert len(warned()) == 2
    for call, kind in list(timers):
        call(kind)
    assert [vars(line)["labels.failures"] for line in warned()] == ["1", "1", "499", "499"]
    assert "failed 499 more times within a minute, at last: " in warned()[2].getMessage()


async def test_each_call_is_told_at_debug(caplog):
    caplog.set_level(logging.DEBUG, "proxy")
    async with answering([Reply(status=503), json_reply([[0.1]])]) as provider:
        await provider.embed("a")
    calls = [line for line in caplog.records if line.name == "proxy.huggingface.calls"]
    assert [vars(line)["http.response.status_code"] for line in calls] == [503, 200]
    assert "[e1] (text_embedding): 503 in " in calls[0].getMessage()


async def late(provider: Provider, *inputs: str, time: float = 0.1, **settings: Any) -> Advice:
    """What a request is told whose time is soon over."""
    endpoint, deadline = provider.endpoint(**settings), Deadline.after(time)
    with pytest.raises(RequestTimedOut) as caught, until(deadline, endpoint.inference_id):
        await provider.hugging_face.embed(endpoint, inputs, deadline)
    assert caught.value.advice is not None
    return caught.value.advice


def states(provider: Provider) -> list[str]:
    return [one.state for one in provider.hugging_face._endpoints.known()]


async def never(_: float) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("coalescing", [False, True])
@pytest.mark.parametrize("count", [1, 3])  # batches
async def test_who_waits_for_the_rate_limit_is_told_so(warned, coalescing, count):
    reply = answering(json_reply([[0.1]]), coalescing=coalescing, max_batch_inputs=1)
    async with reply as provider:
        await provider.embed("a", requests_per_minute=1)
        told = await late(provider, *"abc"[:count], requests_per_minute=1)
        assert "[rate_limit.requests_per_minute]" in told.hint
        assert states(provider) == ["ok"]  # its provider is
    (line,) = warned()
    assert "no result in time. The endpoint's own rate limit" in line.getMessage()


@pytest.mark.parametrize("coalescing", [False, True])
async def test_who_waits_for_another_attempt_is_told_what_became_of_the_last(coalescing):
    async with answering(Reply(status=503), sleep=never, coalescing=coalescing) as provider:
        first = asyncio.ensure_future(late(provider, "a", time=0.2))
        await asyncio.sleep(0)
        told = await late(provider, "a")  # with coalescing, it joins the first one
        assert (told.state, told.provider_status) == ("overloaded", 503)
        assert await first == told
        assert states(provider) == ["overloaded"]


async def test_who_waits_for_a_server_that_starts_is_told_so():
    starting = json_reply({"error": "Model is loading"}, 503)
    waking = answering(starting, sleep=never, cold_start_wait=5, coalescing=True)
    async with waking as provider:
        patient = asyncio.ensure_future(late(provider, "a", time=1.0))
        await asyncio.sleep(0)
        assert (await late(provider, "a")).state == "waking_up"
        assert states(provider) == ["waking_up"]
        patient.cancel()


async def test_who_waits_for_an_answer_is_told_that_it_is_late():
    async with answering([Reply(fault="reset")] * 3 + [Reply(fault="hang")]) as provider:
        await failing(provider.embed("a"))
        assert states(provider) == ["unreachable"]
        assert await late(provider, "a") == TOO_LATE
        assert states(provider) == ["timed_out"]
