"""A damaged record, seen by callers."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from proxy.app import make_application
from proxy.config import Config, StoreConfig
from tests.stubs import FaultyServer, contract_reply


async def test_a_damaged_record_hinders_no_other(aiohttp_client: Any, tmp_path: Path) -> None:
    path = tmp_path / "endpoints.db"
    store = StoreConfig(kind=f"sqlite:{path}", encryption_key="6b" * 32, freshness=0)
    async with FaultyServer(contract_reply) as provider:
        client = await aiohttp_client(make_application(Config(store=store)))
        settings = {"api_key": "secret", "url": f"{provider.url}/v1/chat/completions"}
        body = {"service": "hugging_face", "service_settings": settings}
        for name in ("good", "bad"):
            assert (await client.put(f"/_inference/completion/{name}", json=body)).status == 200
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE endpoints SET blob = x'00' WHERE id = 'bad'")
        connection.close()

        listed = await client.get("/_inference/_all")
        assert listed.status == 200
        assert [one["inference_id"] for one in (await listed.json())["endpoints"]] == ["good"]
        assert "inference endpoints [bad] are left out" in listed.headers["Warning"]
        used = await client.post("/_inference/good", json={"input": "x"})
        assert used.status == 200
        assert "Warning" not in used.headers

        read = await client.get("/_inference/bad")
        assert read.status == 500
        assert "[bad] cannot be used" in (await read.json())["error"]["reason"]
        assert (await client.delete("/_inference/bad")).status == 200
        assert (await client.put("/_inference/completion/bad", json=body)).status == 200
        assert (await client.get("/_inference/bad")).status == 200
        assert "Warning" not in (await client.get("/_inference/_all")).headers
