"""What becomes of a request whose caller loses its rights while it is under way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from proxy.app import _API, STORE
from proxy.ground.authorization import Allowed
from proxy.ground.errors import Unauthenticated, UpstreamUnavailable
from tests.support.application import proxy_with
from tests.support.stubs import event_reply

EMBED = "/_inference/text_embedding/e1"
GONE = {"error": {"type": "security_exception", "reason": "revoked", "root_cause": []}}
CHUNK = 'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'


class Revoking:
    """An Authorizer whose verdicts are too old at once, and whose first ones alone are yes."""

    def __init__(self, yes: int, then: Exception | None = None) -> None:
        self.yes = yes
        self.asked = 0
        self.then = then or Unauthenticated(401, GONE, ["ApiKey"])

    def question(self, *_: object) -> Callable[[], Awaitable[Allowed]]:
        return self.ask

    async def ask(self) -> Allowed:
        self.asked += 1
        if self.asked > self.yes:
            raise self.then
        return Allowed(authenticated=True, user="u", expires=0.0)


@pytest.fixture
async def proxy(tmp_path):
    async with proxy_with(tmp_path) as proxy:
        await proxy.put("text_embedding")
        await proxy.put("completion", "c1")
        yield proxy


def revoke(proxy, yes: int, then: Exception | None = None) -> Revoking:
    authorizer = proxy.server.app[_API]._authorizer = Revoking(yes, then)
    return authorizer


def assert_unknown(answer):
    assert answer.status == 401
    assert answer.reason == "revoked"
    assert answer.headers["WWW-Authenticate"] == "ApiKey"


# When: after the head, after the body, after waiting for the endpoint, after the trial.


@pytest.mark.parametrize("yes", [1, 2, 3])
async def test_no_endpoint_is_created(proxy, yes, caplog):
    revoke(proxy, yes)
    settings = {"url": proxy.provider.url + "/embed", "api_key": "x"}
    body = {"service": "hugging_face", "service_settings": settings}
    assert_unknown(await proxy("PUT", "/_inference/text_embedding/new", body))
    assert len(proxy.provider.calls) == (1 if yes == 3 else 0)
    revoke(proxy, 100)
    assert (await proxy("GET", "/_inference/new")).status == 404
    assert "failed" not in caplog.text  # the provider did not


async def test_none_is_changed(proxy):
    revoke(proxy, 1)
    change = {"service_settings": {"api_key": "other"}}
    assert_unknown(await proxy("PUT", f"{EMBED}/_update", change))
    known = await proxy.server.app[STORE].get("e1")
    assert known.endpoint.secret_settings.api_key != "other"


@pytest.mark.parametrize("yes", [1, 2])
async def test_none_is_deleted(proxy, yes):
    revoke(proxy, yes)
    assert_unknown(await proxy("DELETE", EMBED))
    revoke(proxy, 100)
    assert (await proxy("GET", EMBED)).status == 200


@pytest.mark.parametrize("yes", [1, 2])
@pytest.mark.parametrize("path", [EMBED, "/_inference/c1", "/_inference/completion/c1/_stream"])
async def test_no_provider_is_called(proxy, path, yes, caplog):
    revoke(proxy, yes)
    answer = await proxy("POST", path, {"input": "x"})
    assert answer.status == 401
    assert b"revoked" in answer.body
    assert proxy.provider.calls == []
    assert "failed" not in caplog.text


async def test_no_list_is_shown(proxy):
    revoke(proxy, 1)
    assert_unknown(await proxy("GET", "/_inference"))


async def test_an_attempt_that_fails_is_not_repeated(proxy):
    revoke(proxy, 3)
    proxy.provide(lambda _: event_reply(status=503))
    assert_unknown(await proxy("POST", EMBED, {"input": "x"}))
    assert len(proxy.provider.calls) == 1


async def test_a_stream_ends(proxy):
    proxy.provide(event_reply(*[CHUNK] * 50))
    authorizer = revoke(proxy, 6)
    answer = await proxy("POST", "/_inference/completion/c1/_stream", {"input": "x"})
    assert answer.status == 200
    *before, (event, data) = answer.events
    assert event == "error"
    assert data["error"]["type"] == "security_exception"
    assert len(before) == 3  # one question for each event, after head, body and turn
    assert authorizer.asked == 7


async def test_a_stream_goes_on_while_nobody_can_tell(proxy):
    proxy.provide(event_reply(*[CHUNK] * 20, "data: [DONE]\n\n"))
    authorizer = revoke(proxy, 3, UpstreamUnavailable("away"))
    answer = await proxy("POST", "/_inference/completion/c1/_stream", {"input": "x"})
    assert [data for _, data in answer.events][-1] == "[DONE]"
    assert len(answer.events) == 21
    assert authorizer.asked == 4


async def test_a_fresh_verdict_is_asked_for_once(proxy):
    class Fresh(Revoking):
        async def ask(self) -> Allowed:
            self.asked += 1
            return Allowed(authenticated=True, user="u")

    authorizer = proxy.server.app[_API]._authorizer = Fresh(0)
    assert (await proxy("POST", EMBED, {"input": ["x"] * 100})).status == 200
    assert authorizer.asked == 1
