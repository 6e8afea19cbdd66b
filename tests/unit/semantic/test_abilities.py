"""What the upstream can do is asked for, and believed for a while."""

from __future__ import annotations

import pytest

from proxy.semantic.abilities import Abilities
from proxy.semantic.ports import UpstreamAnswer
from tests.support.clock import Clock
from tests.unit.semantic.clusters import answered
from tests.unit.semantic.stubs import NoUpstream


class Upstream(NoUpstream):
    def __init__(self, status: int) -> None:
        self.status = status
        self.asked = 0

    async def ask_as_proxy(self, method: str, target: str, body: bytes = b"") -> UpstreamAnswer:
        assert b'"rrf"' in body
        self.asked += 1
        return answered(self.status, {})


@pytest.mark.parametrize(("status", "can"), [(200, True), (403, False), (400, False)])
async def test_it_fuses_if_it_answers(status: int, can: bool):
    assert await Abilities(Upstream(status)).can_fuse() is can


async def test_a_licence_that_has_come_is_seen_after_a_while():
    upstream, clock = Upstream(403), Clock()
    abilities = Abilities(upstream, clock)
    assert not await abilities.can_fuse()
    upstream.status = 200
    assert not await abilities.can_fuse()
    assert upstream.asked == 1
    clock.now += 61
    assert await abilities.can_fuse()
