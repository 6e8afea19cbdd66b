"""Which connections to the upstream are used again."""

from __future__ import annotations

import pytest

from proxy.lane import Patience
from proxy.upstream.nodes import CertificateTaken
from tests.support.lanes import lane_test
from tests.support.peers import GET, OK


@lane_test()
async def test_connections_are_kept_on_both_sides(world):
    caller = await world.caller()
    peer = await world.exchange(caller)
    for _ in range(3):
        await caller.send(GET)
        assert await peer.head() == GET
        await peer.send(OK)
        assert await caller.read(len(OK)) == OK
    other = await world.caller()
    await other.send(GET)
    assert await peer.head() == GET
    assert world.connections == 1


@lane_test()
async def test_a_connection_that_closed_while_idle_is_not_used(world):
    caller = await world.caller()
    peer = await world.exchange(caller)
    peer.end()
    assert await peer.rest() == b""  # the lane has seen it
    await world.exchange(caller, b"POST /x HTTP/1.1\r\nHost: es\r\n\r\n")


@lane_test(patience=Patience(idle=0.1))
async def test_connections_do_not_stay_idle_for_ever(world):
    peer = await world.exchange(await world.caller())
    assert await peer.rest() == b""


@pytest.mark.parametrize("status", [b"400 Bad Request", b"413 Too Large", b"431 Too Large"])
@lane_test()
async def test_a_connection_on_which_the_upstream_may_have_given_up_is_not_used_again(
    world, status
):
    """Elasticsearch keeps it open, and drops whatever comes on it."""
    caller = await world.caller()
    answer = b"HTTP/1.1 %b\r\ncontent-length: 2\r\n\r\nno" % status
    for _ in range(3):
        peer = await world.exchange(caller, answer=answer)
        await peer.lost()


@lane_test()
async def test_a_node_that_must_not_be_used_gets_no_connection(world):
    async def refuse() -> None:
        raise CertificateTaken("proxy")

    world.lane.upstream.node.vet = refuse
    caller = await world.caller()
    await caller.send(GET)
    assert await caller.read(13) == b"HTTP/1.1 503 "
    assert world.connections == 0
