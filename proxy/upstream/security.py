"""What the upstream's security is asked about callers, and what its answers mean."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp import hdrs
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.config import UpstreamConfig
from proxy.ground.authorization import CREDENTIAL_HEADERS, RUN_AS, Action, IndexAction
from proxy.ground.errors import (
    IllegalArgument,
    Unauthenticated,
    UpstreamError,
    UpstreamRefusal,
    UpstreamTimedOut,
    UpstreamUnavailable,
)
from proxy.http1 import check_text
from proxy.upstream.session import Question, UpstreamSession
from proxy.upstream.subjects import describe_subject

ANSWER_LIMIT: Final = 1024 * 1024  # bytes

HAS_PRIVILEGES: Final = "/_security/user/_has_privileges"
AUTHENTICATE: Final = "/_security/_authenticate"
# The action that Elasticsearch runs for HAS_PRIVILEGES.
HAS_PRIVILEGES_ACTION: Final = "cluster:admin/xpack/security/user/has_privileges"
_SENT: Final = (*CREDENTIAL_HEADERS, "X-Opaque-Id", "traceparent")
# What an Elasticsearch without security answers to GET AUTHENTICATE: 9, and 7 to 8.
_SECURITY_OFF: Final = (
    (400, {"error": f"no handler found for uri [{AUTHENTICATE}] and method [GET]"}),
    (
        405,
        {
            "error": f"Incorrect HTTP method for uri [{AUTHENTICATE}] and method [GET], "
            "allowed: [POST]",
            "status": 405,
        },
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityAnswer:
    """What the upstream said; `body` is None when it is not JSON, or too long."""

    status: int
    body: Any
    challenges: Sequence[str]  # of WWW-Authenticate
    product: str | None

    def grants(self, action: Action) -> bool | None:
        """Yes, no, or neither; nothing but JSON's own `true` is a yes."""
        match self.body:
            case {"index": {**indices}} if action.indices:
                lacking = _lacking(action, indices)
                return None if lacking is None else not lacking
            case {"cluster": {**cluster}} if isinstance(cluster.get(action.value), bool):
                return bool(cluster[action.value])
        return None

    def lacking(self, action: Action) -> Sequence[Sequence[str]]:
        """The indices of an action to which it may not be done."""
        match self.body:
            case {"index": {**indices}}:
                return _lacking(action, indices) or ()
        return ()

    def refusal(self, old: str, new: str) -> UpstreamRefusal | None:
        """Its error for a caller, `old` replaced by `new` in all texts; None if it is no error."""
        match self.body:
            case {"error": {"type": str(), "reason": str()}}:
                kind = Unauthenticated if self.status == 401 else UpstreamRefusal
                return kind(self.status, _replaced(self.body, old, new), self.challenges)
        return None

    @property
    def user(self) -> str | None:
        """The name of the user, if it tells one."""
        match self.body:
            case {"username": str(name)}:
                return name
        return None

    @property
    def tells_who_asks(self) -> bool:
        """Whether it answers GET AUTHENTICATE with a user, or refuses one who is none."""
        if self.status == 200:
            return self.user is not None
        return self.status in (401, 403) and self.refusal("", "") is not None

    @property
    def says_security_is_off(self) -> bool:
        """Whether it answers GET AUTHENTICATE so."""
        return self.product == "Elasticsearch" and (self.status, self.body) in _SECURITY_OFF


class Security:
    """Puts questions to the upstream's security. All raise UpstreamError where it cannot answer."""

    def __init__(self, session: UpstreamSession, upstream: UpstreamConfig) -> None:
        self.is_there = len(session.nodes) > 0  # whether there is an upstream at all
        self._session = session
        self._host = upstream.host
        self._time_limit = upstream.check_timeout

    async def has_privilege(self, identity: CIMultiDict[str], action: Action) -> SecurityAnswer:
        """Whether the caller may run `action`; identity: as `identity_of`."""
        body = orjson.dumps(_question(action))
        return await self._ask(hdrs.METH_POST, HAS_PRIVILEGES, identity, body)

    async def authenticate(self, identity: CIMultiDict[str]) -> SecurityAnswer:
        """Who the caller is."""
        return await self._ask(hdrs.METH_GET, AUTHENTICATE, identity)

    async def is_off(self) -> bool:
        """Learned by a request that no caller has any part in."""
        return (await self.authenticate(CIMultiDict())).says_security_is_off

    async def subject(self, identity: CIMultiDict[str]) -> str | None:
        """Who is refused, in Elasticsearch's words; None if the upstream does not say."""
        effective = await self.authenticate(identity)
        authenticated = effective
        runs_as = RUN_AS in identity
        if runs_as:
            own = CIMultiDict((name, value) for name, value in identity.items() if name != RUN_AS)
            authenticated = await self.authenticate(own)
        if effective.status != 200 or authenticated.status != 200:
            return None
        return describe_subject(authenticated.body, effective.body, runs_as=runs_as)

    async def _ask(
        self, method: str, path: str, identity: CIMultiDict[str], body: bytes | None = None
    ) -> SecurityAnswer:
        headers = identity.copy()
        headers[hdrs.ACCEPT] = "application/json"
        if body is not None:
            headers[hdrs.CONTENT_TYPE] = "application/json"
        if self._host is not None:
            headers[hdrs.HOST] = self._host
        question = Question(
            method=method,
            target=path,
            headers=headers,
            body=lambda: body,
            time_limit=self._time_limit,
        )
        # Callers see these texts before anybody knows who they are: they name no address.
        try:
            answer = await self._session.fetch(question, ANSWER_LIMIT)
        except UpstreamTimedOut:
            raise UpstreamTimedOut("The upstream did not tell in time who the caller is") from None
        except UpstreamError as error:
            what = "The upstream did not answer properly when asked who the caller is"
            if isinstance(error, UpstreamUnavailable):
                what = "The upstream that knows who the caller is cannot be reached"
            raise UpstreamUnavailable(f"{what}: {error.why}" if error.why else what) from None
        return SecurityAnswer(
            status=answer.status,
            body=_parsed(answer.body),
            challenges=answer.headers.getall(hdrs.WWW_AUTHENTICATE, []),
            product=answer.headers.get("X-Elastic-Product"),
        )


def _question(action: Action) -> dict[str, Any]:
    if not action.indices:
        return {"cluster": [action.value]}
    names = sorted({name for names in action.indices for name in names})
    return {"index": [{"names": names, "privileges": [_privilege(action)]}]}


def _lacking(action: Action, indices: Mapping[Any, Any]) -> list[Sequence[str]] | None:
    """The indices of an action with no name that is granted; None if that is not told."""
    privilege = _privilege(action)

    def is_granted(name: str) -> bool | None:
        match indices.get(name):
            case {**rights} if isinstance(rights.get(privilege), bool):
                return bool(rights[privilege])
        return None

    answers = [[is_granted(name) for name in names] for names in action.indices]
    if any(answer is None for answer in itertools.chain(*answers)):
        return None
    return [
        names for names, granted in zip(action.indices, answers, strict=True) if not any(granted)
    ]


def _privilege(action: Action) -> str:
    """What is asked for; Elasticsearch takes the name of an action for one, too."""
    asked = action.privilege if isinstance(action, IndexAction) else None
    return asked or action.value


def identity_of(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """The headers that decide who the caller is, under one spelling each, duplicates kept.

    Also those by which Elasticsearch's logs and traces tell requests apart.
    Raises: IllegalArgument for different values of one header, as Elasticsearch does whether
    security is on or off; for a value that is not UTF-8.
    """
    identity: CIMultiDict[str] = CIMultiDict()
    for name in _SENT:
        if name not in headers:
            continue
        values = headers.getall(name)
        if len(set(values)) > 1:
            raise IllegalArgument(f"multiple values for single-valued header [{name}].")
        check_text(value.encode("utf-8", "surrogateescape") for value in values)
        for value in values:
            identity.add(name, value)
    return identity


def _parsed(body: bytes | None) -> Any:
    if body is None:
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _replaced(value: Any, old: str, new: str) -> Any:
    """A JSON value with `old` replaced in all its texts."""
    match value:
        case str():
            return value.replace(old, new) if old else value
        case dict():
            return {key: _replaced(inner, old, new) for key, inner in value.items()}
        case list():
            return [_replaced(inner, old, new) for inner in value]
    return value
