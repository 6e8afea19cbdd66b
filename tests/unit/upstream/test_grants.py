"""What the privilege check remembers, and for how long."""

from __future__ import annotations

import pytest

from proxy.ground.authorization import Allowed, Refused
from proxy.ground.errors import Unauthenticated, UpstreamUnavailable
from proxy.inference.actions import InferenceAction
from proxy.upstream.grants import FRESHNESS
from tests.support.callers import ALICE, BOB, Clock, asking, check, error, judged, sending


async def test_a_yes_is_kept_for_two_seconds_and_for_those_credentials_and_action_alone():
    clock = Clock()
    async with asking([judged(True)], clock) as (server, privileges):
        for _ in range(3):
            assert isinstance(await check(privileges), Allowed)
        assert len(server.calls) == 1
        await check(privileges, BOB)
        await check(privileges, sending(*ALICE.items(), ("es-security-runas-user", "bob")))
        await check(privileges, sending(*ALICE.items(), ("es-secondary-authorization", "x")))
        await check(privileges, sending(("es-security-runas-user", "Basic alice")))
        await check(privileges, sending())
        assert len(server.calls) == 6
        with pytest.raises(UpstreamUnavailable):  # the stub judges another action
            await check(privileges, action=InferenceAction.PUT)
        assert len(server.calls) == 7
        await check(privileges, sending(*ALICE.items(), ("X-Opaque-Id", "no credential")))
        assert len(server.calls) == 7
        clock.now += FRESHNESS
        await check(privileges)
        assert len(server.calls) == 8


async def test_neither_no_nor_401_is_remembered():
    async with asking([judged(False), error(401, "no"), judged(True)]) as (server, privileges):
        assert isinstance(await check(privileges), Refused)
        with pytest.raises(Unauthenticated):
            await check(privileges)
        assert isinstance(await check(privileges), Allowed)
        assert len(server.calls) == 3


async def test_memory_is_bounded():
    async with asking([judged(True)], most_grants=3) as (server, privileges):
        callers = [sending(("Authorization", f"Basic {n}")) for n in range(5)]
        for caller in callers:
            await check(privileges, caller)
        await check(privileges, callers[4])
        assert len(server.calls) == 5
        await check(privileges, callers[0])
        assert len(server.calls) == 6
        assert len(privileges._grants) == 3


async def test_what_is_remembered_holds_no_credentials():
    async with asking([judged(True)]) as (_, privileges):
        await check(privileges)
        (key,) = privileges._grants
        assert len(key) == 32
        assert b"alice" not in key
