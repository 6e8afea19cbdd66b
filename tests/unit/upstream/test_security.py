"""What is sent to the upstream to learn who a caller is."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from proxy.ground.errors import IllegalArgument
from tests.support.callers import ASK, BOB, asking, check, judged, sending
from tests.support.stubs import Reply


async def test_the_callers_own_headers_are_put_to_the_upstream_and_no_others():
    headers = sending(
        ("authorization", "Basic alice"),
        ("AUTHORIZATION", "Basic alice"),
        ("ES-Security-RunAs-User", "carol"),
        ("es-secondary-authorization", "Basic dave"),
        ("x-opaque-id", "id"),
        ("traceparent", "00-1-2-03"),
        ("Cookie", "c"),
        ("X-Forwarded-User", "root"),
        ("Content-Encoding", "gzip"),
        ("X-HTTP-Method-Override", "GET"),
    )
    async with asking([judged(True)]) as (server, privileges):
        await check(privileges, headers)
    call = server.calls[0]
    assert (call.method, call.target) == ("POST", ASK)
    assert call.json == {"cluster": ["cluster:monitor/xpack/inference/get"]}
    arrived = CIMultiDict(call.headers)
    sent = {name: arrived.getall(name) for name in arrived}
    del sent["Host"], sent["Content-Length"]
    assert sent == {
        "Authorization": ["Basic alice"] * 2,
        "es-security-runas-user": ["carol"],
        "es-secondary-authorization": ["Basic dave"],
        "X-Opaque-Id": ["id"],
        "traceparent": ["00-1-2-03"],
        "Accept": ["application/json"],
        "Content-Type": ["application/json"],
    }


async def test_an_anonymous_caller_borrows_no_credentials():
    async with asking([judged(True)], username="proxy", password="secret", api_key="key") as (
        server,
        privileges,
    ):
        await check(privileges, sending())
    assert "Authorization" not in server.calls[0].headers


async def test_no_cookie_of_one_caller_is_sent_for_another():
    reply = Reply(body=judged(True).body, headers={"Set-Cookie": "sid=alice; Path=/"})
    async with asking([reply]) as (server, privileges):
        await check(privileges)
        await check(privileges, BOB)
    assert "Cookie" not in server.calls[1].headers


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "es-security-runas-user",
        "es-secondary-authorization",
        "X-Opaque-Id",
        "traceparent",
    ],
)
async def test_two_values_of_one_header_are_refused_without_asking(name):
    async with asking([judged(True)]) as (server, privileges):
        with pytest.raises(IllegalArgument) as refused:
            await check(privileges, sending((name, "a"), (name.upper(), "b")))
    assert str(refused.value) == f"multiple values for single-valued header [{name}]."
    assert server.calls == []


async def test_a_header_that_is_not_utf8_is_refused():
    async with asking([judged(True)]) as (server, privileges):
        with pytest.raises(IllegalArgument, match="not UTF-8"):
            await check(privileges, sending(("Authorization", "Basic \udce9\U0001f600")))
    assert server.calls == []
