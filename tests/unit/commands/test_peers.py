"""An Elasticsearch or a proxy, as a command speaks to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.commands.peers import opened, the_proxy
from proxy.config import Config, TlsConfig, UpstreamConfig
from proxy.ground.errors import UpstreamError
from tests.support.stubs import FaultyServer, json_reply


async def test_requests_have_the_credentials_of_a_configuration():
    async with FaultyServer([json_reply({"a": 1}), json_reply({}, 404)]) as server:
        upstream = UpstreamConfig(url=server.url, api_key="s3cret", host="es.example")
        async with opened(upstream) as peer:
            reply = await peer.ask("GET", "/x?y")
            assert (reply.status, reply.body) == (200, b'{"a":1}')
            assert (await peer.ask("POST", "/i/_bulk?z", b"{}\n")).status == 404
        first, second = server.calls
    assert first.headers["Authorization"] == "ApiKey s3cret"
    assert first.headers["Host"] == "es.example"
    assert "Content-Type" not in first.headers
    assert (second.body, second.headers["Content-Type"]) == (b"{}\n", "application/x-ndjson")


async def test_one_that_is_away_is_named():
    url = "http://127.0.0.1:1"
    async with opened(UpstreamConfig(url=url)) as peer:
        with pytest.raises(UpstreamError, match=f"^{url} "):
            await peer.ask("GET", "/")


CERTIFICATE = Path("/proxy.crt")


@pytest.mark.parametrize(
    ("config", "url"),
    [
        ({"listen": "127.0.0.1:9201"}, "http://127.0.0.1:9201"),
        ({"listen": "0.0.0.0:9201"}, "http://localhost:9201"),
        ({"listen": "[::1]:9201"}, "http://[::1]:9201"),
        (
            {"listen": "es.example:9201", "tls": TlsConfig(certificate=CERTIFICATE)},
            "https://es.example:9201",
        ),
    ],
)
def test_the_proxy_is_where_it_listens(config: Any, url: str):
    found = the_proxy(Config(**config), None)
    assert found.url == url
    assert found.ca_file == (CERTIFICATE if url.startswith("https") else None)
    assert the_proxy(Config(**config), "http://else:1").url == "http://else:1"
