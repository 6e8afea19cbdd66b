"""The few rules in which releases differ, seen through the application."""

from __future__ import annotations

from typing import Any, Final

import pytest

from proxy.app import make_application
from proxy.compatibility import PROFILES
from proxy.config import Config, StoreConfig
from proxy.endpoints import TaskType
from tests.stubs import FaultyServer, contract_reply

UPDATE: Final = "/_inference/completion/one/_update"


@pytest.fixture
async def client_of(aiohttp_client: Any, tmp_path: Any) -> Any:
    """A client of an application that serves a release and has an endpoint `one`."""
    async with FaultyServer(contract_reply) as provider:

        async def start(release: str) -> Any:
            store = StoreConfig(kind=f"sqlite:{tmp_path}/{release}.db", encryption_key="6b" * 32)
            client = await aiohttp_client(
                make_application(Config(compatibility=release, store=store))
            )
            settings = {"api_key": "secret", "url": f"{provider.url}/v1/chat/completions"}
            body = {"service": "hugging_face", "service_settings": settings}
            answer = await client.put("/_inference/completion/one", json=body)
            assert answer.status == 200
            return client

        yield start


@pytest.mark.parametrize(("release", "status"), [("9.2", 400), ("9.5", 200)])
async def test_an_update_without_a_token(client_of: Any, release: str, status: int) -> None:
    client = await client_of(release)
    body = {"service_settings": {"rate_limit": {"requests_per_minute": 9}}}
    answer = await client.put(UPDATE, json=body)
    assert answer.status == status
    if status == 200:
        assert (await answer.json())["service_settings"]["rate_limit"] == {"requests_per_minute": 9}


@pytest.mark.parametrize(
    ("release", "known", "unknown"),
    [("9.2", "master_timeout", "timeout"), ("9.5", "timeout", "master_timeout")],
)
async def test_the_time_of_an_update(
    client_of: Any, release: str, known: str, unknown: str
) -> None:
    client = await client_of(release)
    body = {"service_settings": {"api_key": "new"}}
    assert (await client.put(f"{UPDATE}?{known}=5s", json=body)).status == 200
    answer = await client.put(f"{UPDATE}?{unknown}=5s", json=body)
    assert answer.status == 400
    assert f"unrecognized parameter: [{unknown}]" in (await answer.json())["error"]["reason"]


def test_the_time_of_a_chat() -> None:
    old, new = PROFILES["9.2"], PROFILES["9.5"]
    assert old.default_timeout(TaskType.CHAT_COMPLETION, 30.0) == 30.0
    assert new.default_timeout(TaskType.CHAT_COMPLETION, 30.0) == 120.0
    assert new.default_timeout(TaskType.RERANK, 30.0) == 30.0
    assert new.default_timeout(TaskType.COMPLETION, 300.0) == 300.0
