"""Endpoints whose provider is still starting, through the whole application."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from yarl import URL

from testbed.processes import free_ports
from tests.support.application import proxy_with
from tests.support.relays import Relay
from tests.support.samples import TOKEN
from tests.support.stubs import JSON, Call, Reply, contract_reply, json_reply

LOADING = json_reply({"error": "Model e5 is currently loading", "estimated_time": 20.0}, 503)


async def test_one_is_created_and_tried_out_by_its_first_use(tmp_path):
    async with proxy_with(tmp_path, provider={"cold_start_wait": 60.0}) as proxy:
        proxy.provide(LOADING)
        settings = {"url": proxy.provider.url + "/embed", "api_key": TOKEN}
        created = await proxy(
            "PUT",
            "/_inference/text_embedding/e1?timeout=600ms",
            {"service": "hugging_face", "service_settings": settings},
        )
        assert created.status == 200
        assert "dimensions" not in created.json["service_settings"]
        assert "will be tried out by its first use" in created.headers["Warning"]

        proxy.provide(contract_reply)
        assert (await proxy("POST", "/_inference/e1", {"input": "a"})).status == 200
        while True:  # the size is stored while the caller goes on
            shown = (await proxy("GET", "/_inference/e1")).json["endpoints"][0]
            if "dimensions" in shown["service_settings"]:
                break
        assert shown["service_settings"]["dimensions"] == 3


async def test_a_request_waits_for_it_as_long_as_it_may(tmp_path):
    async with proxy_with(tmp_path, provider={"cold_start_wait": 60.0}) as proxy:
        assert (await proxy.put("text_embedding")).status == 200
        proxy.provide(LOADING)
        answer = await proxy("POST", "/_inference/e1?timeout=600ms", {"input": "a"})
    assert answer.status == 400
    assert answer.reason.endswith("status [503]. Error message: [Model e5 is currently loading]")


async def test_without_that_setting_it_is_not_created(tmp_path):
    async with proxy_with(tmp_path) as proxy:
        proxy.provide(LOADING)
        assert (await proxy.put("text_embedding")).status == 400


async def test_a_request_waits_for_one_that_does_not_listen_yet(tmp_path, caplog):
    caplog.set_level(logging.INFO)

    def once(call: Call) -> Reply:
        return replace(contract_reply(call), headers={**JSON, "Connection": "close"})

    async with proxy_with(tmp_path, provider={"cold_start_wait": 60.0}) as proxy:
        proxy.provide(once)
        port = free_ports()
        settings = {"url": f"http://127.0.0.1:{port}/embed"}
        async with Relay(URL(proxy.provider.url), port):
            assert (await proxy.put("text_embedding", service_settings=settings)).status == 200
        waiting = asyncio.ensure_future(proxy("POST", "/_inference/e1", {"input": "a"}))
        while "is starting: requests wait 60 s for it" not in caplog.text:
            await proxy("GET", "/_inference/e1")  # which waits for nobody
        async with Relay(URL(proxy.provider.url), port):
            assert (await waiting).status == 200


async def test_without_that_setting_its_refusal_is_the_answer(tmp_path):
    async with proxy_with(tmp_path) as proxy:
        url = f"http://127.0.0.1:{free_ports()}/embed"
        answer = await proxy.put("text_embedding", service_settings={"url": url})
    assert answer.status == 400
    assert answer.json["error"]["caused_by"]["reason"].endswith("Cause: Connection refused")
