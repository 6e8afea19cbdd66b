"""An endpoint behind whose URL another real model begins to answer."""

from __future__ import annotations

import pytest

from tests.support.rawhttp import send
from tests.support.semantic import Caller
from tests.support.stubs import JSON, Call, FaultyServer, Reply, in_thread


class Gateway:
    """Passes calls on to one of the local provider's models, and answers 503 where there is none.

    Beside its own name of the model it says nothing about it.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.model: str | None = "all-minilm-l6-v2"

    def __call__(self, call: Call) -> Reply:
        if self.model is None:
            return Reply(status=503, body=b'{"error":"Service Unavailable"}')
        path = f"/models/{self.model}/embed"
        answer = send(self.url, "POST", path, list(JSON.items()), call.body)
        return Reply(status=answer.status, body=answer.content)


@pytest.fixture
def gateway(provider):
    return Gateway(provider.url)


@pytest.fixture
def here(serve, elasticsearch, own_index, gateway, request):
    env = {
        **own_index,
        "HFPROXY_PROVIDER_MODEL_GUARD": request.param,
        "HFPROXY_PROVIDER_RETRY_INITIAL_DELAY": "0.01",
        "HFPROXY_PROVIDER_MODEL_GUARD_INTERVAL": "0.001",
    }
    with in_thread(FaultyServer(gateway)) as stub:
        proxy = serve(upstream=elasticsearch.url, env=env)
        caller = Caller(proxy.url)
        caller.put_endpoint("guarded", stub.url + "/embed")
        yield caller, proxy


def embed(caller: Caller) -> int:
    return caller.send("POST", "/_inference/guarded", {"input": "a harbour"}).status


@pytest.mark.parametrize("here", ["refuse"], indirect=True)
def test_another_model_is_refused_until_the_first_one_is_back(here, gateway):
    caller, proxy = here
    assert embed(caller) == 200
    gateway.model = None
    assert embed(caller) == 400
    gateway.model = "e5-small-v2"
    error = caller.error("POST", "/_inference/guarded", {"input": "a harbour"}, status=409)
    assert error["reason"].startswith("Inference endpoint [guarded] has another model than when")
    proxy.wait_for("Until then it is refused")
    shown = caller.ask("GET", "/_inference/guarded")["endpoints"][0]
    assert "fingerprint" not in str(shown)


@pytest.mark.parametrize("here", ["warn"], indirect=True)
def test_a_warning_is_only_told(here, gateway):
    caller, proxy = here
    assert embed(caller) == 200
    gateway.model = "e5-small-v2"
    while "has another model than when it was first used" not in proxy.output:
        assert embed(caller) == 200
