"""The rules in which releases differ, through the whole application."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import pytest

from proxy.app import make_application
from proxy.config import Config, ProviderConfig, StoreConfig
from proxy.config.values import RELEASES
from proxy.inference.releases import PROFILES
from tests.support.stubs import (
    FaultyServer,
    Reply,
    contract_reply,
    event_reply,
    in_turn,
    json_reply,
)

OLD: Final = ("8.19", "9.2")
NEW: Final = ("9.5", "9.6")
UNIFIED: Final = "unified_chat_completion_exception"
INVALID: Final = "action_request_validation_exception"
CHAT: Final = "/v1/chat/completions"
UPDATE: Final = "/_inference/completion/one/_update"
RATE: Final = {"service_settings": {"rate_limit": {"requests_per_minute": 9}}}
MESSAGES: Final = {"messages": [{"role": "user", "content": "hi"}]}


class Client:
    """Requests to an application that serves one release."""

    def __init__(self, client: Any, provider: FaultyServer) -> None:
        self._client = client
        self.provider = provider

    async def put(self, task: str, path: str = CHAT) -> None:
        settings = {"api_key": "secret", "url": self.provider.url + path}
        body = {"service": "hugging_face", "service_settings": settings}
        assert (await self("PUT", f"/_inference/{task}/one", body))[0] == 200
        self.provider.calls.clear()

    async def __call__(
        self, method: str, target: str, body: Any, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Status and body of the answer."""
        answer = await self._client.request(method, target, json=body, headers=headers)
        return answer.status, json.loads(await answer.text())


@pytest.fixture
async def client_of(aiohttp_client: Any, tmp_path: Any) -> Any:
    """A client of an application that serves a release."""
    async with FaultyServer(contract_reply) as provider:

        async def start(release: str) -> Client:
            store = StoreConfig(kind=f"sqlite:{tmp_path}/{release}.db", encryption_key="6b" * 32)
            calls = ProviderConfig(retry_initial_delay=0.01)
            config = Config(compatibility=release, store=store, provider=calls)
            return Client(await aiohttp_client(make_application(config)), provider)

        yield start


def test_every_release_that_can_be_configured_has_a_profile():
    assert tuple(PROFILES) == RELEASES


class TestUpdates:
    @pytest.mark.parametrize("release", OLD)
    @pytest.mark.parametrize("meta", [None, "es=9.2.0,py=3.11.2,t=9.2.0", "es=8.19.1,js=22", "x"])
    async def test_older_releases_want_a_token(self, client_of, release, meta):
        client = await client_of(release)
        await client.put("completion")
        headers = {} if meta is None else {"x-elastic-client-meta": meta}
        status, body = await client("PUT", UPDATE, RATE, headers)
        assert (status, body["error"]["type"]) == (400, "validation_exception")
        assert "does not contain the required setting [api_key]" in body["error"]["reason"]

    @pytest.mark.parametrize("release", OLD)
    @pytest.mark.parametrize(
        "meta", ["es=9.3.0,py=3.11.2,t=9.2.0", "es=10.0.0p,js=22", "t=1,es=9.5"]
    )
    async def test_newer_clients_need_none_whatever_is_served(self, client_of, release, meta):
        client = await client_of(release)
        await client.put("completion")
        status, body = await client("PUT", UPDATE, RATE, {"x-elastic-client-meta": meta})
        assert status == 200
        assert body["service_settings"]["rate_limit"] == {"requests_per_minute": 9}
        assert client.provider.calls == []

    @pytest.mark.parametrize("release", NEW)
    async def test_newer_releases_need_none(self, client_of, release):
        client = await client_of(release)
        await client.put("completion")
        status, body = await client("PUT", UPDATE, RATE)
        assert status == 200
        assert body["service_settings"]["rate_limit"] == {"requests_per_minute": 9}

    @pytest.mark.parametrize("release", NEW)
    async def test_newer_releases_take_chunking_settings(self, client_of, release):
        client = await client_of(release)
        await client.put("text_embedding", "/embed")
        chunking = {"strategy": "word", "max_chunk_size": 20, "overlap": 2}
        target = "/_inference/text_embedding/one/_update"
        status, body = await client("PUT", target, {"chunking_settings": chunking})
        assert (status, body["chunking_settings"]) == (200, chunking)

    @pytest.mark.parametrize("release", OLD)
    async def test_older_releases_refuse_them(self, client_of, release):
        client = await client_of(release)
        await client.put("text_embedding", "/embed")
        target = "/_inference/text_embedding/one/_update"
        status, body = await client("PUT", target, {"chunking_settings": {"strategy": "none"}})
        assert status == 400
        assert body["error"]["reason"] == (
            "Request contained fields which cannot be updated, remove these fields and try again "
            "[{chunking_settings={strategy=none}}]"
        )

    async def test_newer_releases_try_a_change_before_they_store_it(self, client_of):
        client = await client_of("9.5")
        await client.put("completion")
        assert (await client("PUT", UPDATE, {"service_settings": {"api_key": "secret"}}))[0] == 200
        assert client.provider.calls == []  # nothing changed
        client.provider.answer = lambda call: json_reply({}, 401)
        status, body = await client("PUT", UPDATE, {"service_settings": {"api_key": "new"}})
        assert status == 400
        assert body["error"]["reason"].startswith("Could not complete inference endpoint creation")
        assert client.provider.calls[-1].headers["Authorization"] == "Bearer new"
        client.provider.answer = contract_reply
        await client("POST", "/_inference/completion/one", {"input": "x"})
        assert client.provider.calls[-1].headers["Authorization"] == "Bearer secret"

    @pytest.mark.parametrize(("release", "takes"), [("8.19", True), ("9.2", False), ("9.5", True)])
    async def test_nulls_are_taken_or_refused(self, client_of, release, takes):
        client = await client_of(release)
        await client.put("completion")
        settings = {"api_key": "new", "rate_limit": None}
        status, body = await client("PUT", UPDATE, {"service_settings": settings})
        assert status == (200 if takes else 400)
        if not takes:
            assert body["error"]["reason"].startswith("Failed to parse update request [{service_")

    @pytest.mark.parametrize(("release", "takes"), [("9.2", True), ("9.5", True), ("9.6", False)])
    async def test_settings_that_cannot_be_updated_are_ignored_or_refused(
        self, client_of, release, takes
    ):
        client = await client_of(release)
        await client.put("completion")
        settings = {"api_key": "secret", "url": "http://h/"}
        status, body = await client("PUT", UPDATE, {"service_settings": settings})
        assert status == (200 if takes else 400)
        if not takes:
            assert body["error"]["reason"] == (
                "Configuration contains settings [{url=http://h/}] unknown to the [hugging_face] "
                "service"
            )

    @pytest.mark.parametrize(
        ("release", "what"), [("9.2", "service settings"), ("9.5", "[service_settings]")]
    )
    async def test_settings_that_are_no_object_are_refused(self, client_of, release, what):
        client = await client_of(release)
        _, body = await client("PUT", UPDATE, {"service_settings": 1})
        assert body["error"]["reason"] == (
            f"Unable to parse {what} in the request [{{service_settings=1}}]"
        )

    @pytest.mark.parametrize(("release", "known"), [("8.19", False), ("9.2", False), ("9.5", True)])
    async def test_the_time_of_an_update(self, client_of, release, known):
        client = await client_of(release)
        await client.put("completion")
        body = {"service_settings": {"api_key": "new"}}
        assert (await client("PUT", f"{UPDATE}?master_timeout=5s", body))[0] == 200
        status, answer = await client("PUT", f"{UPDATE}?timeout=5s", body)
        assert status == (200 if known else 400)
        if not known:
            assert answer["error"]["reason"] == (
                f"request [{UPDATE}] contains unrecognized parameter: [timeout]"
            )


class TestTimes:
    @pytest.mark.parametrize(
        ("release", "status", "type", "reason"),
        [
            ("8.19", 408, "status_exception", "Request timed out after [50ms]"),
            *(
                (
                    release,
                    429,
                    "timeout_exception",
                    "Request timed out after [50ms] for inference id [one]",
                )
                for release in ("9.2", "9.5")
            ),
        ],
    )
    async def test_a_call_that_takes_too_long(self, client_of, release, status, type, reason):
        client = await client_of(release)
        await client.put("completion")
        found, body = await client(
            "POST", "/_inference/completion/one?timeout=50ms", {"input": "__sleep__"}
        )
        assert (found, body["error"]["type"], body["error"]["reason"]) == (status, type, reason)
        assert body["error"].get("timed_out") is (None if release == "8.19" else True)

    def test_the_time_of_a_chat(self):
        old, new = PROFILES["9.2"], PROFILES["9.5"]
        assert old.default_timeout(streams=True, configured=30.0) == 30.0
        assert new.default_timeout(streams=True, configured=30.0) == 120.0
        assert new.default_timeout(streams=False, configured=30.0) == 30.0
        assert new.default_timeout(streams=True, configured=300.0) == 300.0


class TestRequests:
    @pytest.mark.parametrize(("release", "refused"), [("8.19", False), ("9.2", True)])
    async def test_a_query_for_an_embedding(self, client_of, release, refused):
        client = await client_of(release)
        await client.put("text_embedding", "/embed")
        body = {"input": "a", "query": "b"}
        status, answer = await client("POST", "/_inference/text_embedding/one", body)
        assert status == (400 if refused else 200)
        assert refused is ("Field [query] cannot be specified" in json.dumps(answer))

    @pytest.mark.parametrize(
        ("release", "version", "status"),
        [("8.19", 7, 200), ("8.19", 9, 400), ("9.2", 8, 200), ("9.2", 7, 400)],
    )
    async def test_the_versions_of_the_api(self, client_of, release, version, status):
        client = await client_of(release)
        accept = f"application/vnd.elasticsearch+json;compatible-with={version}"
        assert (await client("GET", "/_inference", None, {"Accept": accept}))[0] == status


def reply_of(message: Mapping[str, Any], **more: Any) -> Reply:
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "more": 4}
    return json_reply(
        {"created": 1, "id": "c1", "object": "chat.completion", "model": "m", "choices": [choice]}
        | {"usage": usage}
        | more
    )


class TestChatsThatAreNotStreamed:
    @pytest.fixture
    async def chat(self, client_of):
        """A client with a chat endpoint, of the release that answers chats in one piece."""
        client = await client_of("9.6")
        await client.put("chat_completion")
        return client

    @pytest.mark.parametrize("release", [*OLD, "9.5"])
    @pytest.mark.parametrize("target", ["/_inference/chat_completion/one", "/_inference/one"])
    async def test_older_releases_have_none(self, client_of, release, target):
        client = await client_of(release)
        await client.put("chat_completion")
        status, body = await client("POST", target, MESSAGES)
        assert (status, body["error"]["type"]) == (400, UNIFIED)
        assert "only supports streaming" in body["error"]["reason"]
        assert client.provider.calls == []

    @pytest.mark.parametrize("target", ["/_inference/chat_completion/one", "/_inference/one"])
    async def test_are_answered_in_one_piece(self, chat, target):
        calls = [{"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
        chat.provider.answer = lambda call: reply_of(
            {"role": "assistant", "content": None, "tool_calls": calls}
        )
        status, body = await chat("POST", target, {**MESSAGES, "max_completion_tokens": 5})
        assert status == 200
        assert body == {
            "id": "c1",
            "choices": [
                {
                    "message": {"role": "assistant", "tool_calls": [{"index": 0, **calls[0]}]},
                    "finish_reason": "stop",
                    "index": 0,
                }
            ],
            "model": "m",
            "object": "chat.completion",
            "usage": {"completion_tokens": 2, "prompt_tokens": 1, "total_tokens": 3},
        }
        (call,) = chat.provider.calls
        assert call.json == {**MESSAGES, "max_tokens": 5, "n": 1, "stream": False}

    @pytest.mark.parametrize(
        ("reply", "status", "reason"),
        [
            (json_reply({"error": "no"}, 401), 401, "Received an authentication error status code"),
            (json_reply({"id": "x"}), 500, "Failed to send Hugging Face chat_completion request"),
            (json_reply([]), 500, "Failed to send Hugging Face chat_completion request"),
            (Reply(body=b"<html>"), 500, "Failed to send Hugging Face chat_completion request"),
            (Reply(), 500, "Failed to send Hugging Face chat_completion request"),
        ],
    )
    async def test_fail_in_the_usual_envelope(self, chat, reply, status, reason):
        chat.provider.answer = in_turn([reply])
        found, body = await chat("POST", "/_inference/chat_completion/one", MESSAGES)
        assert (found, body["status"]) == (status, status)
        assert body["error"]["type"] == UNIFIED
        assert body["error"]["reason"].startswith(reason)

    @pytest.mark.parametrize(
        ("target", "body", "status", "type", "cause"),
        [
            ("chat_completion/nope", MESSAGES, 404, UNIFIED, "resource_not_found_exception"),
            ("nope", MESSAGES, 404, "resource_not_found_exception", None),
            ("chat_completion/one", {}, 400, UNIFIED, "illegal_argument_exception"),
            ("chat_completion/one", {"messages": []}, 400, INVALID, None),
        ],
    )
    async def test_refuse_what_streams_refuse(self, chat, target, body, status, type, cause):
        found, answer = await chat("POST", f"/_inference/{target}", body)
        assert (found, answer["error"]["type"]) == (status, type)
        assert answer["error"].get("caused_by", {}).get("type") == cause


@pytest.mark.parametrize(
    ("release", "reason", "type"),
    [
        ("8.19", "Received an unsuccessful status code", "ErrorResponse"),
        ("9.2", "Resource not found at [{url}]", "UnifiedChatCompletionErrorResponse"),
    ],
)
async def test_a_chat_whose_provider_is_not_found(client_of, aiohttp_client, release, reason, type):
    client = await client_of(release)
    await client.put("chat_completion")
    client.provider.answer = lambda call: Reply(status=404)
    answer = await client._client.post("/_inference/chat_completion/one/_stream", json=MESSAGES)
    error = json.loads((await answer.text()).split("data: ")[1])["error"]
    assert error["type"] == type
    assert error["message"].startswith(reason.format(url=client.provider.url + CHAT))


THOUGHT: Final = {
    "id": "1",
    "model": "m",
    "object": "chat.completion.chunk",
    "choices": [{"index": 0, "delta": {"content": "4", "reasoning_content": "2 and 2"}}],
}


@pytest.mark.parametrize("release", NEW)
async def test_what_models_think_is_told_from_9_5_on(client_of, release):
    client = await client_of(release)
    await client.put("chat_completion")
    client.provider.answer = in_turn([event_reply(f"data: {json.dumps(THOUGHT)}\n\n")])
    body = {**MESSAGES, "reasoning": {"effort": "low"}}
    answer = await client._client.post("/_inference/chat_completion/one/_stream", json=body)
    assert '"delta":{"content":"4","reasoning":"2 and 2"}' in await answer.text()
    assert client.provider.calls[0].json["reasoning"] == {"effort": "low"}


@pytest.mark.parametrize("release", OLD)
async def test_what_models_think_is_not_told_before(client_of, release):
    client = await client_of(release)
    await client.put("chat_completion")
    client.provider.answer = in_turn([event_reply(f"data: {json.dumps(THOUGHT)}\n\n")])
    target = "/_inference/chat_completion/one/_stream"
    answer = await client._client.post(target, json=MESSAGES)
    assert '"delta":{"content":"4"}' in await answer.text()
    answer = await client._client.post(target, json={**MESSAGES, "reasoning": {"effort": "low"}})
    assert (answer.status, "unknown field [reasoning]" in await answer.text()) == (400, True)
