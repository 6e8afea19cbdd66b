"""What answers tell beside Elasticsearch's own words, wherever a provider's failure shows up."""

from __future__ import annotations

from tests.contract.compare import EXTRA_KEYS
from tests.support.application import proxy_with
from tests.support.samples import TOKEN
from tests.support.stubs import Reply, event_reply, json_reply

CHAT = "/_inference/chat_completion/e1/_stream"
HELLO = {"messages": [{"role": "user", "content": "hello"}]}
WAIT = {"Retry-After": "77", "Content-Type": "application/json"}


def places(body, path=()):
    """Where the keys that only the proxy has stand in a body."""
    if isinstance(body, dict):
        for key, value in body.items():
            if key in EXTRA_KEYS:
                yield (*path, key)
            yield from places(value, (*path, key))
    elif isinstance(body, list):
        for n, item in enumerate(body):
            yield from places(item, (*path, n))


async def test_a_trial_that_fails_tells_it_once_at_the_top(tmp_path):
    async with proxy_with(tmp_path) as proxy:
        proxy.provide(Reply(status=429, headers=WAIT, body=b'{"error":"slow down"}'))
        answer = await proxy.put("text_embedding")
    assert answer.status == 400
    assert answer.headers["Retry-After"] == "77"
    assert list(places(answer.json)) == [("error", "hint"), ("error", "provider_status")]
    assert "[rate_limit.requests_per_minute]" in answer.json["error"]["hint"]
    assert answer.json["error"]["provider_status"] == 429


async def test_a_trial_that_meets_a_server_of_another_kind_names_it(tmp_path):
    async with proxy_with(tmp_path) as proxy:
        proxy.provide(json_reply({"object": "list", "data": [{"embedding": [0.1]}]}))
        answer = await proxy.put("text_embedding")
    assert "That is an OpenAI-style route." in answer.json["error"]["hint"]
    assert TOKEN not in answer.body.decode()


async def test_a_chat_that_is_refused_is_an_event_with_a_hint(tmp_path):
    async with proxy_with(tmp_path) as proxy:
        await proxy.put("chat_completion")
        proxy.provide(json_reply({"error": "The endpoint is paused, ask somebody"}, 400))
        answer = await proxy("POST", CHAT, HELLO)
    ((event, data),) = answer.events
    assert event == "error"
    assert list(places(data)) == [("error", "hint"), ("error", "provider_status")]
    assert data["error"]["hint"].startswith("The endpoint is paused.")


async def test_a_stream_that_breaks_off_ends_in_an_event_with_a_hint(tmp_path):
    async with proxy_with(tmp_path) as proxy:
        await proxy.put("chat_completion")
        await proxy.put("completion", "e2")
        proxy.provide(event_reply(": nothing\n\n", fault="reset_after"))
        for path, body in ((CHAT, HELLO), ("/_inference/completion/e2/_stream", {"input": "x"})):
            (event, data) = (await proxy("POST", path, body)).events[-1]
            assert event == "error"
            assert "No connection to the provider" in data["error"]["hint"]


async def test_what_is_too_late_says_what_may_help(tmp_path):
    async with proxy_with(tmp_path) as proxy:
        await proxy.put("text_embedding")
        proxy.provide(Reply(fault="hang"))
        answer = await proxy("POST", "/_inference/e1?timeout=10ms", {"input": "x"})
    assert answer.json["error"]["timed_out"]
    assert "longer [timeout]" in answer.json["error"]["hint"]


async def test_what_is_no_providers_fault_has_no_advice(tmp_path):
    async with proxy_with(tmp_path) as proxy:
        answer = await proxy("POST", "/_inference/e1", {"input": "x"})
    assert answer.status == 404
    assert list(places(answer.json)) == []
