"""Callers of a privilege check, and the upstream that answers it, both played by a test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from multidict import CIMultiDict, CIMultiDictProxy

from proxy.config import UpstreamConfig
from proxy.ground.authorization import Verdict
from proxy.inference.actions import InferenceAction
from proxy.upstream.grants import MAX_REMEMBERED
from proxy.upstream.privileges import Privileges
from tests.support.stubs import FaultyServer, Reply, json_reply
from tests.support.upstreams import open_privileges

# What the upstream is asked: whether somebody may, and who somebody is.
ASK, WHO = "/_security/user/_has_privileges", "/_security/_authenticate"


class Clock:
    """Stands still unless it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def asking(
    answer: Any, clock: Clock | None = None, *, most_grants: int = MAX_REMEMBERED, **config: Any
) -> AsyncIterator[tuple[FaultyServer, Privileges]]:
    """An upstream that gives `answer`, and the check in front of it."""
    async with FaultyServer(answer) as server:
        upstream = UpstreamConfig(url=server.url, **config)
        async with open_privileges(
            upstream, clock=clock or Clock(), most_grants=most_grants
        ) as privileges:
            yield server, privileges


def sending(*pairs: tuple[str, str]) -> CIMultiDictProxy[str]:
    """The headers of a caller who sends these."""
    return CIMultiDictProxy(CIMultiDict(pairs))


ALICE = sending(("Authorization", "Basic alice"))
BOB = sending(("Authorization", "Basic bob"))


async def check(
    privileges: Privileges,
    headers: CIMultiDictProxy[str] = ALICE,
    target: str = "/_inference/x?pretty",
    action: InferenceAction = InferenceAction.GET,
) -> Verdict:
    return await privileges.check(headers, target, action)


def judged(value: Any, action: InferenceAction = InferenceAction.GET) -> Reply:
    """The upstream's answer whether user `u` may."""
    return json_reply({"username": "u", "cluster": {str(action): value}})


def error(status: int, reason: str, kind: str = "security_exception", **more: Any) -> Reply:
    """An error as Elasticsearch prints it."""
    inner = {"type": kind, "reason": reason, **more}
    return json_reply({"error": {"root_cause": [inner], **inner}, "status": status}, status)
