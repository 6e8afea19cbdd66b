"""The privilege check against real Elasticsearch security, for every kind of credentials."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from aiohttp import ClientSession
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.config import UpstreamConfig
from proxy.ground.authorization import Allowed
from proxy.ground.errors import IllegalArgument, ProxyError, Unauthenticated
from proxy.inference.actions import InferenceAction
from tests.support.security import wait_until_settled
from tests.support.stubs import FaultyServer, Reply
from tests.support.upstreams import open_privileges
from tests.support.users import USERS, basic

TARGET = "/_inference/text_embedding/a%2Fb?timeout=1s"
WRITE = (InferenceAction.PUT, InferenceAction.UPDATE, InferenceAction.DELETE)
READ = tuple(action for action in InferenceAction if action not in WRITE)
GRANTING = {
    **dict.fromkeys(READ, "monitor_inference,manage_inference,monitor,manage,all"),
    **dict.fromkeys(WRITE, "manage_inference,manage,all"),
}


@pytest.fixture(scope="module")
def secured(secured_elasticsearch):
    wait_until_settled(secured_elasticsearch.url)
    return secured_elasticsearch


@pytest.fixture
async def privileges(secured):
    async with open_privileges(UpstreamConfig(url=secured.url, username="proxy")) as privileges:
        yield privileges


class Admin:
    """The administrator of the secured cluster."""

    def __init__(self, url: str, session: ClientSession) -> None:
        self._url = url
        self._session = session

    async def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        sent = {"Authorization": basic("admin"), **headers}
        async with self._session.request(
            method, self._url + path, json=body, headers=sent
        ) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    async def api_key(self, **body: Any) -> dict[str, Any]:
        made: dict[str, Any] = await self("POST", "/_security/api_key", {"name": "k", **body})
        return made

    async def user(self, name: str, role: dict[str, Any] | None) -> str:
        """Create a user; the Authorization header. `role` None: of a role that does not exist."""
        if role is not None:
            await self("PUT", f"/_security/role/{name}-role", role)
        user = {"password": f"{name}-password", "roles": [f"{name}-role"]}
        await self("PUT", f"/_security/user/{name}", user)
        return "Basic " + base64.b64encode(f"{name}:{name}-password".encode()).decode()


@pytest.fixture
async def admin(secured):
    async with ClientSession() as session:
        yield Admin(secured.url, session)


async def judge(privileges, action, authorization=None, **more):
    """True if allowed, otherwise the reason of the 403."""
    pairs = [("Authorization", authorization)] if authorization else []
    pairs += [(name.replace("_", "-"), value) for name, value in more.items()]
    verdict = await privileges.check(CIMultiDictProxy(CIMultiDict(pairs)), TARGET, action)
    if isinstance(verdict, Allowed):
        return True
    refusal = await verdict.error()
    assert (refusal.status, refusal.type, list(refusal.headers)) == (403, "security_exception", [])
    error = refusal.envelope()["error"]
    assert error["root_cause"] == [{"type": "security_exception", "reason": error["reason"]}]
    return refusal.reason


async def all_verdicts(privileges, subject, authorization, **more):
    """The allowed actions; the refusals of the others are checked here."""
    allowed = set()
    for action in InferenceAction:
        verdict = await judge(privileges, action, authorization, **more)
        if verdict is True:
            allowed.add(action)
            continue
        assert verdict == (
            f"action [{action}] is unauthorized for {subject}, this action is granted by the "
            f"cluster privileges [{GRANTING[action]}]"
        )
    return allowed


# Who may


async def test_users_are_judged_by_their_roles(privileges):
    async def allowed(name):
        subject = f"user [{name}] with effective roles [{USERS[name][1]}]"
        return await all_verdicts(privileges, subject, basic(name))

    assert await allowed("admin") == set(InferenceAction)
    assert await allowed("manager") == set(InferenceAction)
    assert await allowed("monitor") == set(READ)
    assert await allowed("nobody") == set()


async def test_api_keys_are_judged_as_themselves(privileges, admin):
    full, limited = (
        await admin.api_key(),
        await admin.api_key(role_descriptors={"r": {"cluster": ["monitor_inference"]}}),
    )
    assert await all_verdicts(privileges, "", f"ApiKey {full['encoded']}") == set(InferenceAction)
    subject = f"API key id [{limited['id']}] of user [admin]"
    assert await all_verdicts(privileges, subject, f"ApiKey {limited['encoded']}") == set(READ)


@pytest.mark.alone
async def test_a_revoked_key_stops_within_seconds(secured, admin):
    async with open_privileges(UpstreamConfig(url=secured.url)) as privileges:
        key = await admin.api_key()
        authorization = f"ApiKey {key['encoded']}"
        assert await judge(privileges, InferenceAction.GET, authorization) is True
        await admin("DELETE", "/_security/api_key", {"ids": [key["id"]]})
        assert "unable to authenticate" in await asyncio.wait_for(
            refused_at_last(privileges, authorization), 5
        )


async def refused_at_last(privileges, authorization) -> str:
    """Ask until the answer is no."""
    while True:
        try:
            assert await judge(privileges, InferenceAction.GET, authorization) is True
        except Unauthenticated as error:
            return error.reason
        await asyncio.sleep(0.1)


async def test_a_role_of_action_patterns_counts(privileges, admin):
    patterns = ["cluster:monitor/xpack/inference/get", "cluster:admin/xpack/inference/d*"]
    authorization = await admin.user("patterns", {"cluster": patterns})
    subject = "user [patterns] with effective roles [patterns-role]"
    allowed = await all_verdicts(privileges, subject, authorization)
    assert allowed == {InferenceAction.GET, InferenceAction.DELETE}


# run-as


async def test_who_runs_as_another_is_judged_as_the_other(privileges, admin):
    role = {"cluster": ["manage_inference"], "run_as": ["nobody", "monitor", "runner"]}
    authorization = await admin.user("runner", role)
    for name, allowed in (("nobody", set()), ("monitor", set(READ))):
        subject = f"user [runner] run as [{name}] with effective roles [{USERS[name][1]}]"
        more = {"es_security_runas_user": name}
        assert await all_verdicts(privileges, subject, authorization, **more) == allowed
    key = await admin.api_key()
    subject = (
        f"API key id [{key['id']}] of user [admin] run as [nobody] with effective roles [nothing]"
    )
    more = {"es_security_runas_user": "nobody"}
    found = await all_verdicts(privileges, subject, f"ApiKey {key['encoded']}", **more)
    assert found == set()


async def test_who_may_not_run_as_another_is_told_so(privileges):
    for other in ("manager", "no-such-user"):
        more = {"es_security_runas_user": other}
        assert await judge(privileges, InferenceAction.PUT, basic("monitor"), **more) == (
            f"action [{InferenceAction.PUT}] is unauthorized for user [monitor] with effective "
            f"roles [inference_monitor], because user [monitor] is unauthorized to run as [{other}]"
        )


# 401


async def unauthenticated(privileges, authorization=None, **more) -> Unauthenticated:
    with pytest.raises(Unauthenticated) as error:
        await judge(privileges, InferenceAction.GET, authorization, **more)
    return error.value


async def same_as_upstream(session: ClientSession, url: str, error: Unauthenticated, **headers):
    """Check that the error equals the upstream's answer to the same request."""
    async with session.get(f"{url}{TARGET}", headers=headers) as answer:
        body = await answer.json()
        challenges = answer.headers.getall("WWW-Authenticate")
    found = error.envelope()
    # Their order is random.
    for value in (body, found):
        for part in (value["error"], value["error"]["root_cause"][0]):
            part["header"]["WWW-Authenticate"].sort()
    assert answer.status == error.status
    assert found == body
    assert sorted(error.headers) == sorted(("WWW-Authenticate", one) for one in challenges)


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        (None, f"missing authentication credentials for REST request [{TARGET}]"),
        ("Negotiate x", f"missing authentication credentials for REST request [{TARGET}]"),
        (
            "Basic " + base64.b64encode(b"admin:wrong").decode(),
            f"unable to authenticate user [admin] for REST request [{TARGET}]",
        ),
        (
            "basic " + base64.b64encode(b"stranger:x").decode(),
            f"unable to authenticate user [stranger] for REST request [{TARGET}]",
        ),
        (
            "ApiKey " + base64.b64encode(b"a:b").decode(),
            "unable to authenticate with provided credentials and anonymous access is not allowed "
            "for this request",
        ),
    ],
    ids=["anonymous", "unknown scheme", "wrong password", "unknown user", "bad key"],
)
async def test_401_is_what_the_upstream_itself_says(privileges, secured, authorization, reason):
    error = await unauthenticated(privileges, authorization)
    assert error.reason == reason
    headers = {} if authorization is None else {"Authorization": authorization}
    async with ClientSession() as session:
        await same_as_upstream(session, secured.url, error, **headers)


async def test_an_undecodable_header_is_the_upstreams_401_too(privileges):
    error = await unauthenticated(privileges, "Basic !!!!")
    assert error.reason == "invalid basic authentication header encoding"
    assert error.envelope()["error"]["caused_by"]["type"] == "illegal_argument_exception"


async def test_a_bad_second_user_is_refused(privileges):
    wrong = "Basic " + base64.b64encode(b"admin:wrong").decode()
    more = {"es_secondary_authorization": wrong}
    error = await unauthenticated(privileges, basic("admin"), **more)
    assert "_has_privileges" not in repr(error.envelope())
    assert TARGET in repr(error.envelope())


async def test_two_authorizations_are_refused_as_the_upstream_does(privileges, secured):
    pairs = CIMultiDict([("Authorization", basic("admin")), ("authorization", basic("nobody"))])
    with pytest.raises(IllegalArgument) as refused:
        await privileges.check(CIMultiDictProxy(pairs), TARGET, InferenceAction.GET)
    same_spelling = CIMultiDict([("Authorization", value) for value in pairs.values()])
    async with (
        ClientSession() as session,
        session.get(secured.url + TARGET, headers=same_spelling) as answer,
    ):
        assert await answer.json() == refused.value.envelope()
        assert answer.status == refused.value.status


# Security off


async def all_may(url: str) -> None:
    async with open_privileges(UpstreamConfig(url=url)) as privileges:
        assert await judge(privileges, InferenceAction.PUT) is True
        assert await judge(privileges, InferenceAction.PUT, "Basic whatever") is True


async def test_where_security_is_off_all_may(elasticsearch):
    await all_may(elasticsearch.url)


@pytest.mark.parametrize("older", ["8.19.8", "7.17.9"], indirect=True, scope="module")
async def test_where_security_is_off_in_older_versions_all_may(older):
    await all_may(older.url)


async def test_another_server_is_not_taken_for_one_without_security():
    async with (
        FaultyServer([Reply(status=404, body=b"nothing here")]) as server,
        open_privileges(UpstreamConfig(url=server.url)) as privileges,
    ):
        with pytest.raises(ProxyError):
            await judge(privileges, InferenceAction.GET)
