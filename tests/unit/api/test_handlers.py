"""Handlers with a service that does what it is told: what they add to it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.api.call import Call
from proxy.api.handlers import (
    get_endpoint,
    get_endpoints,
    get_services,
    infer,
    put_endpoint,
    stream,
)
from proxy.ground.errors import (
    EndpointAlreadyExists,
    IllegalArgument,
    NotOurs,
    ProxyError,
    Rejected,
    UnknownService,
)
from proxy.inference.endpoints import TaskType
from proxy.inference.ports import NoDependents
from proxy.inference.releases import PROFILES, Profile
from proxy.inference.rendering import render_endpoint
from proxy.inference.service import InferenceService
from proxy.rest.body import Body
from proxy.rest.responder import responder_for
from tests.support.bodies import BOUNDS
from tests.support.memorystore import MemoryStore
from tests.support.provider import ScriptedProvider
from tests.support.requests import request_of
from tests.support.samples import PROFILE, make_endpoint
from tests.support.stubs import JSON


def call_of(
    *endpoints: Any,
    body: bytes = b"",
    path: str = "/_inference/e1",
    task: TaskType = TaskType.ANY,
    inference_id: str = "e1",
    upstream: Any = None,
    provider: ScriptedProvider | None = None,
    profile: Profile = PROFILE,
) -> Call:
    rest = request_of(path, "PUT", JSON)

    async def fetch(path: str) -> Any:
        return upstream.get(path) if isinstance(upstream, dict) else upstream

    return Call(
        rest=rest,
        body=Body(rest, body, body, BOUNDS),
        responder=responder_for(rest),
        task_type=task,
        inference_id=inference_id,
        times={},
        flags={},
        service=InferenceService(
            MemoryStore(*endpoints), provider or ScriptedProvider(), 30.0, profile
        ),
        profile=profile,
        max_inputs=10,
        fetch=fetch,
        dependents=NoDependents(),
    )


async def failing(call) -> ProxyError:
    with pytest.raises(ProxyError) as caught:
        await call
    return caught.value


class TestLists:
    async def test_our_endpoints_and_the_upstreams_are_sorted_and_ours_win(self):
        theirs = [{"inference_id": ".elser"}, {"inference_id": "e1"}, {"inference_id": "z"}]
        call = call_of(make_endpoint(), upstream={"/_inference/e1": {"endpoints": theirs}})
        assert await get_endpoints(call) == {
            "endpoints": [theirs[0], render_endpoint(make_endpoint()), theirs[2]]
        }

    @pytest.mark.parametrize("upstream", [None, [], {}, {"/_inference/e1": {}}])
    async def test_an_upstream_without_endpoints_adds_none(self, upstream):
        answer = await get_endpoints(call_of(make_endpoint(), upstream=upstream))
        assert answer == {"endpoints": [render_endpoint(make_endpoint())]}

    @pytest.mark.parametrize("inference_id", ["", "_all", "*"])
    async def test_all_has_several_names(self, inference_id):
        answer = await get_endpoint(call_of(make_endpoint(), inference_id=inference_id))
        assert len(answer["endpoints"]) == 1

    async def test_an_id_with_a_star_means_no_other_ids(self):
        error = await failing(get_endpoint(call_of(make_endpoint(), inference_id="e*")))
        assert error.reason == "Inference endpoint not found [e*]"

    async def test_our_services_replace_the_upstreams(self):
        theirs = [{"service": "openai"}, {"service": "hugging_face", "name": "old"}]
        call = call_of(upstream=theirs)
        services = await get_services(call)
        assert [entry["service"] for entry in services] == ["hugging_face", "openai"]
        assert services[0]["name"] == "Hugging Face"


class TestPut:
    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b'{"task_type":"rerank"}', "configuration is missing the [service] setting"),
            (b'{"task_type":"rerank","service":null}', "is missing the [service] setting"),
            (b'{"task_type":5}', "field [task_type] is not of the expected type"),
            (b'{"service":"hugging_face"}', "model is missing required setting [task_type]"),
            (b"[]", "model is missing required setting [task_type]"),
            (b'{"task_type":"rerank","service":"x"}', "Unknown service [x]"),
            (b'{"task_type":"rerank","service":[]}', "field [service] is not of the expected"),
        ],
    )
    async def test_task_and_service_come_first(self, body, reason):
        assert reason in (await failing(put_endpoint(call_of(body=body)))).reason

    async def test_another_service_may_be_the_upstreams(self):
        body = b'{"task_type":"rerank","service":"openai"}'
        error = await failing(put_endpoint(call_of(body=body)))
        assert isinstance(error, UnknownService)
        assert isinstance(error, NotOurs)

    async def test_another_service_cannot_have_an_id_of_ours(self):
        body = b'{"task_type":"rerank","service":"openai"}'
        upstream = {"/_inference/_services": [{"service": "openai"}]}
        error = await failing(put_endpoint(call_of(make_endpoint(), body=body, upstream=upstream)))
        assert isinstance(error, EndpointAlreadyExists)
        assert not isinstance(error, NotOurs)

    async def test_an_id_of_the_upstreams_is_taken(self):
        body = (
            b'{"task_type":"completion","service":"hugging_face",'
            b'"service_settings":{"url":"http://h/","api_key":"k"}}'
        )
        upstream = {"/_inference/e1": {"endpoints": [{"inference_id": "e1"}]}}
        call = call_of(body=body, upstream=upstream, provider=ScriptedProvider(["x"]))
        assert isinstance(await failing(put_endpoint(call)), EndpointAlreadyExists)


class TestChat:
    BODY = b'{"messages":[{"role":"user"}]}'

    async def test_a_failure_in_the_middle_has_the_shape_of_chat(self):
        provider = ScriptedProvider([{"id": "1"}, IllegalArgument("broken")])
        endpoint = make_endpoint(TaskType.CHAT_COMPLETION)
        for task in (TaskType.ANY, TaskType.CHAT_COMPLETION):
            call = call_of(endpoint, body=self.BODY, task=task, provider=provider)
            with await stream(call) as chunks:
                assert await anext(chunks) == {"id": "1"}
                error = await failing(anext(chunks))
            assert call.responder.envelope(error) == {
                "error": {
                    "code": "bad_request",
                    "message": "broken",
                    "type": "illegal_argument_exception",
                }
            }

    async def test_a_body_that_is_none_fails_in_the_shape_of_chat(self):
        call = call_of(body=b"{}", task=TaskType.CHAT_COMPLETION)
        error = await failing(stream(call))
        assert call.responder.envelope(error)["error"]["message"] == "Required [messages]"

    async def test_without_a_task_the_endpoint_comes_first_and_fails_as_any(self):
        call = call_of(body=b"{x")
        error = await failing(stream(call))
        assert error.reason == "Inference endpoint not found [e1]"
        assert "status" in call.responder.envelope(error)

    async def test_a_large_body_is_read_like_a_small_one(self):
        body = b'{"messages":[{"role":"user","content":"' + b"x" * (2 << 20) + b'"}]}'
        provider = ScriptedProvider([])
        endpoint = make_endpoint(TaskType.CHAT_COMPLETION)
        call = call_of(endpoint, body=body, task=TaskType.CHAT_COMPLETION, provider=provider)
        with await stream(call) as chunks:
            assert [chunk async for chunk in chunks] == []
        assert len(provider.calls[0][1].messages[0]["content"]) == 2 << 20

    async def test_an_id_that_is_unknown_here_may_be_the_upstreams(self):
        for handle, profile in ((stream, PROFILE), (infer, PROFILES["9.6"])):
            call = call_of(body=self.BODY, task=TaskType.CHAT_COMPLETION, profile=profile)
            error = await failing(handle(call))
            assert isinstance(error, NotOurs)
            assert call.responder.envelope(error)["error"] != error.envelope()["error"]

    async def test_what_is_not_streamed_fails_in_the_shape_of_its_release(self):
        endpoint = make_endpoint(TaskType.CHAT_COMPLETION)
        provider = ScriptedProvider(Rejected("full", "queue"))
        call = call_of(endpoint, body=self.BODY, provider=provider, profile=PROFILES["9.6"])
        failure = await failing(infer(call))
        answer = call.responder.error(failure)
        assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
        error = json.loads(answer.body)["error"]
        assert error["type"] == "unified_chat_completion_exception"
        assert error["caused_by"]["type"] == "es_rejected_execution_exception"


async def test_an_update_names_what_it_does_not_change(proxy):
    await proxy.put("completion")
    settings = {"api_key": "new", "url": "http://elsewhere/", "x\r\nSet-Cookie: a": 1, '"': 2}
    target = "/_inference/completion/e1/_update"
    answer = await proxy("PUT", target, {"service_settings": settings})
    assert answer.status == 200
    assert answer.json["service_settings"]["url"].startswith(proxy.provider.url)
    assert answer.headers.getall("Warning") == [
        '299 Elasticsearch "_update does not change [service_settings.url, 2 more]: '
        'they were ignored"'
    ]
    assert "Set-Cookie" not in answer.headers
    answer = await proxy("PUT", target, {"service_settings": {"api_key": "newer"}})
    assert (answer.status, answer.headers.get("Warning")) == (200, None)
