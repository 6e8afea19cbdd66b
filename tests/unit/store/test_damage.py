"""What callers see of a damaged record and of a store that fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient

from proxy.app import STORE, make_application
from proxy.config import Config, StoreConfig
from tests.support.sqlitestore import run, set_pragma
from tests.support.stubs import FaultyServer, contract_reply

NAMES = ("good", "bad")
STALE = (
    '299 Elasticsearch "the endpoint store cannot be used, the configuration that was known last '
    'is used"'
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "endpoints.db"


@pytest.fixture
async def body() -> AsyncIterator[Any]:
    """Of a PUT."""
    async with FaultyServer(contract_reply) as provider:
        settings = {"api_key": "secret", "url": f"{provider.url}/v1/chat/completions"}
        yield {"service": "hugging_face", "service_settings": settings}


@pytest.fixture
async def client(aiohttp_client: Any, path: Path, body: Any) -> TestClient[Any, Any]:
    """A proxy with two endpoints."""
    store = StoreConfig(kind=f"sqlite:{path}", encryption_key="6b" * 32, freshness=0)
    client: TestClient[Any, Any] = await aiohttp_client(make_application(Config(store=store)))
    for name in NAMES:
        assert (await client.put(f"/_inference/completion/{name}", json=body)).status == 200
        assert (await infer(client, name)).status == 200
    return client


async def infer(client: TestClient[Any, Any], name: str) -> ClientResponse:
    return await client.post(f"/_inference/{name}", json={"input": "x"})


async def reason(answer: ClientResponse, status: int, kind: str = "status_exception") -> str:
    assert answer.status == status
    error = (await answer.json())["error"]
    assert error["type"] == kind
    assert error["root_cause"] == [{"type": kind, "reason": error["reason"]}]
    return str(error["reason"])


def remove(path: Path) -> None:
    path.rename(path.with_name("aside"))


async def test_a_damaged_record_hinders_no_other(client: Any, path: Path, body: Any) -> None:
    run(path, "UPDATE endpoints SET blob = x'00' WHERE id = 'bad'")
    listed = await client.get("/_inference/_all")
    assert listed.status == 200
    assert [one["inference_id"] for one in (await listed.json())["endpoints"]] == ["good"]
    assert "inference endpoints [bad] are left out" in listed.headers["Warning"]
    used = await infer(client, "good")
    assert used.status == 200
    assert "Warning" not in used.headers

    update = {"service_settings": {"api_key": "other"}}
    for refused in (
        await client.get("/_inference/bad"),
        await infer(client, "bad"),
        await client.put("/_inference/completion/bad/_update", json=update),
    ):
        text = await reason(refused, 500)
        assert text.startswith("Inference endpoint [bad] cannot be used: its stored record was")
        assert "delete the endpoint and create it again" in text
    again = await client.put("/_inference/completion/bad", json=body)
    assert "already exists" in await reason(again, 400, "resource_already_exists_exception")

    assert (await client.delete("/_inference/bad")).status == 200
    assert (await client.put("/_inference/completion/bad", json=body)).status == 200
    assert (await client.get("/_inference/bad")).status == 200
    assert "Warning" not in (await client.get("/_inference/_all")).headers


async def test_a_record_of_a_newer_version_is_not_written_over(
    client: Any, path: Path, body: Any
) -> None:
    run(path, "UPDATE endpoints SET blob = CAST(x'02' || substr(blob, 2) AS BLOB) WHERE id = 'bad'")
    text = await reason(await infer(client, "bad"), 500)
    assert "has the format 2, which is newer than this proxy. Upgrade the proxy" in text
    await reason(
        await client.put("/_inference/completion/bad", json=body),
        400,
        "resource_already_exists_exception",
    )
    assert (await infer(client, "good")).status == 200


async def test_a_store_that_is_away_stops_changes_and_no_inference(
    client: Any, path: Path, body: Any
) -> None:
    remove(path)
    for refused in (
        await client.put("/_inference/completion/new", json=body),
        await client.delete("/_inference/good"),
        await client.get("/_inference/_all"),
        await infer(client, "unknown"),
    ):
        assert "was removed or replaced: put it back" in await reason(refused, 503)
        assert "Retry-After" not in refused.headers
    used = await infer(client, "good")
    assert used.status == 200
    assert used.headers["Warning"] == STALE
    for shown in (
        await client.get("/_inference/good"),
        await client.delete("/_inference/good?dry_run=true"),
        await client.post("/_inference/completion/good/_stream", json={"input": "x"}),
    ):
        assert shown.status == 200
        assert shown.headers["Warning"] == STALE


async def test_a_full_store_says_when_to_try_again(client: Any, body: Any) -> None:
    store = client.app[STORE]._store
    await set_pragma(store, "max_page_count = 1")
    body["service_settings"]["api_key"] = "x" * 5_000
    refused = await client.put("/_inference/completion/new", json=body)
    assert "is full: free space there" in await reason(refused, 429)
    assert refused.headers["Retry-After"] == "30"
    assert (await client.get("/_inference/new")).status == 404
    used = await infer(client, "good")
    assert used.status == 200
    assert "Warning" not in used.headers
