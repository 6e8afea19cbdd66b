"""What the log tells of providers that fail."""

from __future__ import annotations

import asyncio
import logging

import pytest

from proxy.ground.errors import EndpointNotFound, Rejected
from proxy.huggingface.failurelog import FailureLog
from proxy.huggingface.observing import Observer
from proxy.inference.endpoints import TaskType
from proxy.limits.deadline import NO_DEADLINE, Deadline
from proxy.telemetry.endpoints import Endpoints
from proxy.telemetry.storms import Storms
from tests.support.huggingface import answering, failing
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
