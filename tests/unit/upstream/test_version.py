from __future__ import annotations

import pytest

from proxy.config import UpstreamConfig
from proxy.upstream.nodes import Nodes
from proxy.upstream.session import open_session
from proxy.upstream.version import upstream_version
from tests.support.stubs import FaultyServer, Reply, json_reply

GREETING = json_reply({"name": "n", "version": {"number": "9.2.4"}})
NODES = json_reply({"nodes": {"a-node": {"version": "8.19.8"}}})


async def version_of(*replies, **config):
    """The version that is found, and the `Authorization` headers that were sent."""
    async with FaultyServer(list(replies)) as server:
        upstream = UpstreamConfig(url=server.url, **config)
        async with open_session(upstream, Nodes(*upstream.urls)) as session:
            found = await upstream_version(session, upstream)
        return found, [call.headers.get("Authorization") for call in server.calls]


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ([GREETING], "9.2.4"),
        ([Reply(status=405), NODES], "8.19.8"),
        ([Reply(status=403), Reply(status=403)], None),
        ([json_reply({"version": 3}), Reply(body=b"<html>")], None),
        ([json_reply({"nodes": {}}), json_reply({"nodes": {"n": 3}})], None),
        ([Reply(fault="reset")], None),
    ],
)
async def test_the_version_is_found_where_it_is_told(replies, expected):
    assert (await version_of(*replies))[0] == expected


async def test_it_is_asked_with_the_proxys_own_credentials():
    assert (await version_of(GREETING))[1] == [None]
    assert (await version_of(GREETING, api_key="a2V5"))[1] == ["ApiKey a2V5"]
    assert (await version_of(GREETING, service_token="t"))[1] == ["Bearer t"]
    assert (await version_of(GREETING, username="u", password="p"))[1] == ["Basic dTpw"]
