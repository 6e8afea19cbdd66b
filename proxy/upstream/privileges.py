"""Whether a caller may: the upstream's security decides, nobody else.

The caller's own credentials are sent to the upstream, with the name of the action that
Elasticsearch would run, and only a plain yes lets the caller through.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from multidict import CIMultiDict, CIMultiDictProxy

from proxy.ground.authorization import Action, Allowed, Refused, Verdict
from proxy.ground.errors import ProxyError, Unauthorized, UpstreamRefusal, UpstreamUnavailable
from proxy.ground.singleflight import SingleFlight
from proxy.upstream.grants import Grants
from proxy.upstream.security import (
    HAS_PRIVILEGES,
    HAS_PRIVILEGES_ACTION,
    Security,
    SecurityAnswer,
    identity_of,
)

ALLOWED: Final = Allowed(authenticated=True)
OPEN: Final = Allowed(authenticated=False)  # there is no upstream


class Privileges:
    """Asks the upstream whether callers may. Where there is no upstream, all may."""

    def __init__(self, security: Security, grants: Grants) -> None:
        self.asked = 0  # questions put to the upstream
        self.remembered = 0  # requests that needed none
        self._security = security
        self._grants = grants
        self._asking: SingleFlight[bytes, Allowed | SecurityAnswer] = SingleFlight()
        self._probing: SingleFlight[None, Allowed | None] = SingleFlight()

    async def ping(self) -> None:
        """Raises: UpstreamError when the upstream does not answer, or not as one that can tell."""
        if self._security.is_there:
            answer = await self._security.authenticate(CIMultiDict())
            if not answer.tells_who_asks and not answer.says_security_is_off:
                raise _cannot_tell(answer)

    async def check(self, headers: CIMultiDictProxy[str], target: str, action: Action) -> Verdict:
        """The verdict on a caller whom the upstream knows; `target` is the request's raw target.

        Raises: Unauthenticated at once, as authentication comes first; IllegalArgument for two
        values of one header; UpstreamUnavailable and UpstreamTimedOut when nobody can tell.
        """
        return await self._judge(_Question(self._grants, headers, target, action))

    def question(
        self, headers: CIMultiDictProxy[str], target: str, action: Action
    ) -> Callable[[], Awaitable[Verdict]]:
        """What does the same as `check` whenever it is called, at less cost from then on."""
        return partial(self._judge, _Question(self._grants, headers, target, action))

    async def _judge(self, question: _Question) -> Verdict:
        identity = question.identity()
        if not self._security.is_there:
            return OPEN
        if (granted := self._grants.granted_to_all) is not None:
            return granted
        key, action = question.key(), question.action
        if (granted := self._grants.granted(key)) is not None:
            self.remembered += 1
            return granted
        answer = await self._asking.run(key, lambda: self._ask(identity, action, key))
        if isinstance(answer, Allowed):
            return answer
        match answer.status:
            case 200 if answer.grants(action) is False:
                name = answer.body.get("username")
                return _Denied(self._security, identity, action, name, answer.lacking(action))
            case 401 if refusal := answer.refusal(
                f"request [{HAS_PRIVILEGES}]", f"request [{question.target}]"
            ):
                raise refusal
            case 403 if refusal := answer.refusal(
                f"[{HAS_PRIVILEGES_ACTION}]", f"[{action.value}]"
            ):
                return _PassedOn(refusal)
            case 400:
                # Perhaps there is no security to ask. That is never learned from a caller's
                # request, which could be made to end in 400.
                if (granted := await self._probing.run(None, self._probe)) is not None:
                    return granted
                if refusal := answer.refusal("", ""):
                    raise refusal
        raise _cannot_tell(answer)

    async def _ask(
        self, identity: CIMultiDict[str], action: Action, key: bytes
    ) -> Allowed | SecurityAnswer:
        """The grant; what the upstream said instead, if it said no plain yes."""
        asked_at = self._grants.now()
        self.asked += 1
        answer = await self._security.has_privilege(identity, action)
        if answer.status == 200 and answer.grants(action):
            return self._grants.add(key, asked_at, answer.user)
        self._grants.drop(key)
        return answer

    async def _probe(self) -> Allowed | None:
        """What all may if security is off."""
        asked_at = self._grants.now()
        return self._grants.add_all(asked_at) if await self._security.is_off() else None


class _Question:
    """Whether a caller may; who that is, and what its grant is known by, is worked out once."""

    __slots__ = ("_grants", "_headers", "_identity", "_key", "action", "target")

    def __init__(
        self, grants: Grants, headers: CIMultiDictProxy[str], target: str, action: Action
    ) -> None:
        self._grants = grants
        self._headers = headers
        self._identity: CIMultiDict[str] | None = None
        self._key: bytes | None = None
        self.target = target
        self.action = action

    def identity(self) -> CIMultiDict[str]:
        """Raises: IllegalArgument, as `identity_of`."""
        if self._identity is None:
            self._identity = identity_of(self._headers)
        return self._identity

    def key(self) -> bytes:
        if self._key is None:
            self._key = self._grants.key(self.identity(), self.action)
        return self._key


def _cannot_tell(answer: SecurityAnswer) -> UpstreamUnavailable:
    return UpstreamUnavailable(
        f"The upstream cannot tell whether the caller may: it answered with [{answer.status}]"
    )


@dataclass(frozen=True, slots=True)
class _PassedOn(Refused):
    """The upstream's own refusal."""

    refusal: UpstreamRefusal
    lacking: Sequence[Sequence[str]] = ()

    async def error(self) -> ProxyError:
        return self.refusal


@dataclass(frozen=True, slots=True)
class _Denied(Refused):
    """A plain no, told as Elasticsearch would tell it."""

    security: Security
    identity: CIMultiDict[str]
    action: Action
    username: str
    lacking: Sequence[Sequence[str]]

    async def error(self) -> ProxyError:
        subject = await self.security.subject(self.identity) or f"user [{self.username}]"
        on, kind = "", "cluster"
        if self.action.indices:
            on = f" on indices [{','.join(names[0] for names in self.lacking)}]"
            kind = "index"
        return Unauthorized(
            f"action [{self.action.value}] is unauthorized for {subject}{on}, this action is "
            f"granted by the {kind} privileges [{','.join(self.action.granted_by)}]"
        )
