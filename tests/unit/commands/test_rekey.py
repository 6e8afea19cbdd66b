"""Changing the encryption key, as an operator does it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import pytest

from proxy.commands.main import main
from proxy.config import Config, StoreConfig
from proxy.ground.errors import KeyMismatch
from proxy.inference.ports import EndpointStore
from proxy.store.opening import open_store
from tests.support.samples import make_endpoint

OLD: Final = "6b" * 32
NEW: Final = "7a" * 32


def store_with(path: Path, key: str) -> EndpointStore:
    return open_store(Config(store=StoreConfig(kind=f"sqlite:{path}", encryption_key=key)))


async def fill(path: Path) -> None:
    store = store_with(path, OLD)
    await store.open()
    await store.create(make_endpoint())
    await store.close()


def rekey(path: Path, monkeypatch: pytest.MonkeyPatch, **keys: str) -> int:
    for name, value in keys.items():
        monkeypatch.setenv(f"HFPROXY_STORE_{name.upper()}", value)
    return main(["rekey", "--store", f"sqlite:{path}"])


async def opened_by(path: Path, key: str) -> bool:
    store = store_with(path, key)
    try:
        await store.open()
        known = await store.get(make_endpoint().inference_id)
        return known.endpoint == make_endpoint()
    finally:
        await store.close()


def test_after_a_change_of_keys_the_old_one_opens_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "state" / "endpoints.db"
    asyncio.run(fill(path))
    assert rekey(path, monkeypatch, encryption_key=NEW, previous_key=OLD) == 0
    assert capsys.readouterr().out == "1 endpoints are sealed with the current key\n"
    assert asyncio.run(opened_by(path, NEW))
    with pytest.raises(KeyMismatch):
        asyncio.run(opened_by(path, OLD))


def test_without_the_old_key_nothing_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "state" / "endpoints.db"
    asyncio.run(fill(path))
    assert rekey(path, monkeypatch, encryption_key=NEW) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert asyncio.run(opened_by(path, OLD))
