"""The privileges of the proxy's own credentials."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.config import UpstreamConfig
from proxy.ground.errors import UpstreamError
from proxy.upstream.nodes import Nodes
from proxy.upstream.rights import CLUSTER, INDICES, lacking, lacking_rights, question, role
from proxy.upstream.session import open_session
from tests.support.stubs import FaultyServer, Reply, json_reply


def answer(**denied: bool) -> dict[str, Any]:
    """One that grants all, but for what is denied."""
    return {
        "cluster": {one.name: one.name not in denied for one in CLUSTER},
        "index": {"*": {one.name: one.name not in denied for one in INDICES}},
    }


def test_a_role_has_what_is_asked_for():
    cluster, indices = role()
    assert question() == {"cluster": cluster, "index": [indices]}
    assert len(cluster) == len(CLUSTER)


def test_what_is_denied_is_lacking():
    assert list(lacking(answer())) == []
    denied = {"monitor": True, "view_index_metadata": True}
    assert [one.name for one in lacking(answer(**denied))] == ["monitor", "view_index_metadata"]
    assert list(lacking({})) == [*CLUSTER, *INDICES]


async def lacks(reply: Reply) -> Any:
    async with FaultyServer([reply]) as server:
        upstream = UpstreamConfig(url=server.url, api_key="s3cret")
        async with open_session(upstream, Nodes(*upstream.urls)) as session:
            found = await lacking_rights(session, upstream)
        (call,) = server.calls
        assert call.headers["Authorization"] == "ApiKey s3cret"
        assert orjson.loads(call.body) == question()
        return found


@pytest.mark.parametrize(
    ("reply", "count"),
    [
        (json_reply(answer()), 0),
        (json_reply(answer(monitor=True)), 1),
        (json_reply({}, 401), len(CLUSTER) + len(INDICES)),
        (json_reply({}, 403), len(CLUSTER) + len(INDICES)),
    ],
)
async def test_as_far_as_the_upstream_tells(reply: Reply, count: int):
    assert len(await lacks(reply)) == count


@pytest.mark.parametrize("reply", [json_reply({}, 400), json_reply([]), Reply(body=b"<html>")])
async def test_one_that_does_not_tell(reply: Reply):
    assert await lacks(reply) is None


async def test_an_upstream_that_cannot_be_asked():
    upstream = UpstreamConfig(url="http://127.0.0.1:1")
    async with open_session(upstream, Nodes(*upstream.urls)) as session:
        with pytest.raises(UpstreamError):
            await lacking_rights(session, upstream)
