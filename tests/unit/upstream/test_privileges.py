"""The privilege check against an upstream that misbehaves; the real one is in integration."""

from __future__ import annotations

import asyncio

import pytest
from multidict import CIMultiDict

from proxy.config import UpstreamConfig
from proxy.ground.authorization import Allowed, Refused
from proxy.ground.errors import (
    IllegalArgument,
    ProxyError,
    Unauthenticated,
    UpstreamTimedOut,
    UpstreamUnavailable,
)
from proxy.inference.actions import InferenceAction
from proxy.upstream.grants import FRESHNESS, OPEN_FRESHNESS
from proxy.upstream.privileges import ALLOWED
from proxy.upstream.security import ANSWER_LIMIT
from tests.support.callers import ALICE, ASK, BOB, WHO, Clock, asking, check, error, judged, sending
from tests.support.stubs import Reply, json_reply
from tests.support.upstreams import open_privileges

PRODUCT = {"X-Elastic-Product": "Elasticsearch", "Content-Type": "application/json"}
SECURITY_OFF = json_reply(
    {"error": f"no handler found for uri [{WHO}] and method [GET]"}, 400, headers=PRODUCT
)
NO_HANDLER = json_reply(
    {"error": f"no handler found for uri [{ASK}] and method [POST]"}, 400, headers=PRODUCT
)


# What is a yes


async def test_only_a_json_true_for_that_action_is_a_yes():
    async with asking([judged(True)]) as (_, privileges):
        assert isinstance(await check(privileges), Allowed)


@pytest.mark.parametrize(
    "reply",
    [
        judged("true"),
        judged(1),
        judged(None),
        judged([True]),
        judged(True, InferenceAction.PUT),
        json_reply({"has_all_requested": True}),
        json_reply({"cluster": True}),
        json_reply({"cluster": [InferenceAction.GET]}),
        json_reply(True),
        json_reply([]),
        Reply(body=b""),
        Reply(body=b"<html>login</html>"),
        Reply(body=b'{"cluster":{"' + InferenceAction.GET.encode() + b'":true'),
        Reply(body=b'{"cluster":' + b" " * ANSWER_LIMIT + b"true}"),
        Reply(status=201, body=judged(True).body),
        Reply(status=204),
        Reply(status=302, headers={"Location": "/elsewhere"}, body=judged(True).body),
        Reply(status=400, body=judged(True).body),
        Reply(status=403, body=judged(True).body),
        Reply(status=401, body=judged(True).body),
        error(500, "boom"),
        error(503, "no master", "master_not_discovered_exception"),
        error(429, "full", "es_rejected_execution_exception"),
        error(404, "gone", "index_not_found_exception"),
        Reply(status=502, body=b"bad gateway"),
        Reply(fault="reset"),
        Reply(chunks=[b'{"cluster"'], fault="reset_after"),
    ],
)
async def test_anything_else_is_refused_with_503(reply):
    def answer(call):
        return reply if call.path == ASK else error(401, "who are you?")

    async with asking(answer) as (_, privileges):
        for _ in range(2):  # and what was garbage once is not remembered as anything
            with pytest.raises(UpstreamUnavailable) as refused:
                await check(privileges)
            assert refused.value.status == 503


async def test_false_is_a_refusal_that_waits_until_it_is_asked_for():
    async with asking([judged(False), json_reply({}, 500)]) as (server, privileges):
        verdict = await check(privileges)
        assert isinstance(verdict, Refused)
        assert len(server.calls) == 1
        refusal = await verdict.error()
        assert refusal.status == 403
        # The upstream would not say more than the name.
        assert refusal.reason == (
            "action [cluster:monitor/xpack/inference/get] is unauthorized for user [u], this "
            "action is granted by the cluster privileges "
            "[monitor_inference,manage_inference,monitor,manage,all]"
        )


async def test_an_upstream_that_is_away_is_503():
    async with open_privileges(UpstreamConfig(url="http://127.0.0.1:1")) as privileges:
        with pytest.raises(UpstreamUnavailable, match="cannot be reached") as away:
            await check(privileges)
        assert "127.0.0.1" not in str(away.value)


@pytest.mark.parametrize(
    "reply", [Reply(fault="hang"), Reply(chunks=[b" "] * 1000)], ids=["hang", "drip"]
)
async def test_an_upstream_that_takes_too_long_is_504(reply):
    async with asking([reply], check_timeout=0.1) as (_, privileges):
        with pytest.raises(UpstreamTimedOut) as late:
            await check(privileges)
        assert late.value.status == 504


async def test_without_an_upstream_all_may():
    async with open_privileges(UpstreamConfig()) as privileges:
        assert isinstance(await check(privileges), Allowed)


# 401 and 403 in the upstream's words


async def test_401_is_the_upstreams_with_the_callers_target():
    challenges = ["ApiKey", 'Basic realm="security", charset="UTF-8"', "Bearer"]

    def body(target):
        inner = {
            "type": "security_exception",
            "reason": f"unable to authenticate user [alice] for REST request [{target}]",
            "additional_unsuccessful_credentials": "API key: invalid",
            "header": {"WWW-Authenticate": challenges},
        }
        return {"error": {"root_cause": [inner], **inner, "caused_by": inner}, "status": 401}

    headers = CIMultiDict([("WWW-Authenticate", one) for one in challenges])
    async with asking([json_reply(body(ASK), 401, headers=headers)]) as (_, privileges):
        with pytest.raises(Unauthenticated) as unknown:
            await check(privileges, target="/_inference/a%2Fb?x=%20")
    error = unknown.value
    assert error.status == 401
    assert error.envelope() == body("/_inference/a%2Fb?x=%20")
    assert error.headers == [("WWW-Authenticate", one) for one in challenges]


async def test_403_of_the_check_itself_names_the_inference_action():
    text = (
        "action [{}] is unauthorized for user [alice] with effective roles [r], "
        "because user [alice] is unauthorized to run as [bob]"
    )
    asked = "cluster:admin/xpack/security/user/has_privileges"
    async with asking([error(403, text.format(asked))]) as (server, privileges):
        verdict = await check(privileges, action=InferenceAction.PUT)
        assert isinstance(verdict, Refused)
        refusal = await verdict.error()
    assert (refusal.status, refusal.type) == (403, "security_exception")
    assert refusal.envelope()["error"]["reason"] == text.format(InferenceAction.PUT)
    assert refusal.envelope()["error"]["root_cause"][0]["reason"] == text.format(
        InferenceAction.PUT
    )
    assert len(server.calls) == 1


async def test_400_of_a_caller_is_passed_on():
    reply = error(400, "bad header", "illegal_argument_exception")

    def answer(call):
        return reply if call.path == ASK else error(401, "who are you?")

    async with asking(answer) as (_, privileges):
        with pytest.raises(ProxyError) as refused:
            await check(privileges)
    assert refused.value.status == 400
    assert refused.value.envelope()["error"]["reason"] == "bad header"


# Security off


def security(off, ask=NO_HANDLER):
    """An upstream whose security is off while the list `off` holds anything."""

    def answer(call):
        if call.path == ASK:
            return ask if off else judged(False)
        return SECURITY_OFF if off else error(401, "who are you?")

    return answer


async def test_security_off_is_learned_by_a_request_of_the_proxys_own():
    off, clock = [1], Clock()
    async with asking(security(off), clock) as (server, privileges):
        assert isinstance(await check(privileges), Allowed)
        ask, probe = server.calls
        assert (ask.path, probe.path) == (ASK, WHO)
        assert "Authorization" not in probe.headers
        assert isinstance(await check(privileges, BOB, action=InferenceAction.PUT), Allowed)
        assert len(server.calls) == 2
        off.clear()  # it was turned on
        clock.now += OPEN_FRESHNESS
        assert isinstance(await check(privileges), Refused)


async def test_the_wording_of_versions_7_and_8_is_known():
    answers = [
        error(400, "Invalid index name [_security]", "invalid_index_name_exception"),
        json_reply(
            {
                "error": f"Incorrect HTTP method for uri [{WHO}] and method [GET], allowed: [POST]",
                "status": 405,
            },
            405,
            headers=PRODUCT,
        ),
    ]
    async with asking(answers) as (_, privileges):
        assert isinstance(await check(privileges), Allowed)


@pytest.mark.parametrize(
    "probe",
    [
        error(401, "who are you?"),
        error(400, "no handler found", "illegal_argument_exception"),
        json_reply({"error": f"no handler found for uri [{WHO}] and method [GET]"}, 400),
        json_reply(
            {"error": f"no handler found for uri [{WHO}] and method [GET]"}, 404, headers=PRODUCT
        ),
        json_reply({"error": "no handler found"}, 400, headers=PRODUCT),
        json_reply({"username": "u"}, headers=PRODUCT),
        json_reply({"error": "busy"}, 503, headers=PRODUCT),
    ],
)
@pytest.mark.parametrize("ask", [NO_HANDLER, json_reply({"error": "no such thing"}, 400)])
async def test_no_other_answer_switches_authorization_off(ask, probe):
    async with asking(lambda call: ask if call.path == ASK else probe) as (_, privileges):
        for _ in range(2):
            with pytest.raises(UpstreamUnavailable):
                await check(privileges)


async def test_a_callers_400_alone_switches_nothing_off():
    def answer(call):
        return NO_HANDLER if call.path == ASK else error(401, "who are you?")

    async with asking(answer) as (_, privileges):
        with pytest.raises(UpstreamUnavailable):
            await check(privileges)


# Many at once, and connections that are lost


async def test_questions_asked_at_once_are_asked_once():
    def answer(call):
        reply = judged(True) if "alice" in call.headers["Authorization"] else error(401, f"[{ASK}]")
        return Reply(status=reply.status, body=reply.body, delay=0.05)

    async with asking(answer) as (server, privileges):
        outcomes = await asyncio.gather(
            *(check(privileges) for _ in range(20)),
            *(check(privileges, BOB, target=f"/{n}") for n in range(20)),
            return_exceptions=True,
        )
        assert len(server.calls) == 2
    assert outcomes[:20] == [ALLOWED] * 20
    assert all(isinstance(outcome, Unauthenticated) for outcome in outcomes[20:])


async def test_a_caller_that_leaves_takes_no_answer_away_from_others():
    asked = asyncio.Event()

    def answer(_):
        asked.set()
        return Reply(body=judged(True).body, delay=0.1)

    async with asking(answer) as (server, privileges):
        first = asyncio.ensure_future(check(privileges))
        others = [asyncio.ensure_future(check(privileges)) for _ in range(3)]
        await asked.wait()
        first.cancel()
        assert all(isinstance(verdict, Allowed) for verdict in await asyncio.gather(*others))
        assert len(server.calls) == 2
        assert first.cancelled()


async def test_a_stale_idle_connection_is_no_failure():
    replies = [judged(False), Reply(fault="reset"), judged(True)]
    async with asking(replies) as (server, privileges):
        await check(privileges)
        assert isinstance(await check(privileges), Allowed)
        assert len(server.calls) == 3


# Readiness


@pytest.mark.parametrize(
    "reply",
    [
        SECURITY_OFF,
        json_reply({"username": "anonymous"}, 200),
        error(401, "missing authentication credentials for REST request"),
    ],
)
async def test_an_upstream_that_can_tell_who_asks_is_ready(reply):
    async with asking([reply]) as (_, privileges):
        await privileges.ping()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=200, body=b"<html>login</html>"),
        json_reply({"message": "no route"}, 404),
        json_reply({"error": "maintenance"}, 503),
        Reply(status=401, body=b"Unauthorized"),
    ],
)
async def test_an_upstream_that_cannot_is_not(reply):
    async with asking([reply, reply]) as (_, privileges):
        with pytest.raises(UpstreamUnavailable, match=rf"answered with \[{reply.status}\]"):
            await privileges.ping()


async def test_without_an_upstream_nobody_has_to_be_asked():
    async with open_privileges(UpstreamConfig()) as privileges:
        await privileges.ping()


# Who


async def test_a_yes_tells_the_user_also_when_it_is_remembered():
    async with asking([judged(True)]) as (server, privileges):
        for _ in range(2):
            verdict = await check(privileges)
            assert isinstance(verdict, Allowed)
            assert verdict.user == "u"
        assert len(server.calls) == 1


# The same question again


async def test_a_question_is_asked_anew_whenever_the_answer_is_too_old():
    clock = Clock()
    async with asking([judged(True), judged(True), judged(False)], clock) as (server, privileges):
        ask = privileges.question(ALICE, "/_inference/x", InferenceAction.GET)
        for _ in range(2):
            assert isinstance(await ask(), Allowed)
        assert (len(server.calls), privileges.remembered) == (1, 1)
        assert isinstance(await check(privileges), Allowed)  # a grant is no question's own
        assert len(server.calls) == 1
        clock.now += FRESHNESS
        assert isinstance(await ask(), Allowed)
        clock.now += FRESHNESS
        assert isinstance(await ask(), Refused)


async def test_and_what_is_wrong_with_it_is_told_whenever_it_is_asked():
    two = sending(("Authorization", "Basic alice"), ("Authorization", "Basic bob"))
    async with asking([judged(True)]) as (server, privileges):
        ask = privileges.question(two, "/_inference/x", InferenceAction.GET)
        for _ in range(2):
            with pytest.raises(IllegalArgument, match="multiple values"):
                await ask()
        assert server.calls == []
