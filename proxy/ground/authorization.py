"""Whether a caller may do what it asks for, and the credentials that tell callers apart."""

from __future__ import annotations

import hmac
import math
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Protocol

from proxy.ground.errors import ProxyError, Unauthorized, UpstreamError, UpstreamRefusal
from proxy.ground.scopes import Scope

RUN_AS: Final = "es-security-runas-user"
# The headers by which Elasticsearch authenticates a request; those of clients hold the secret
# of an application that presents the tokens of its users.
# Source: Security.getRestHeaders, JwtRealm, SecondaryAuthenticator.
CREDENTIAL_HEADERS: Final = (
    "Authorization",
    "ES-Client-Authentication",
    "X-Client-Authentication",
    RUN_AS,
    "es-secondary-authorization",
    "es-secondary-x-client-authentication",
)


class Action(Protocol):
    """Something that callers must be allowed to do."""

    @property
    def value(self) -> str:
        """Elasticsearch's name of it, such as `cluster:admin/xpack/inference/put`."""

    @property
    def granted_by(self) -> Sequence[str]:
        """The privileges that grant it: of the cluster, or of indices."""

    @property
    def indices(self) -> Sequence[Sequence[str]]:
        """What it is done to: for each index the names by which it may be granted, any one of them.

        Empty for what concerns the cluster.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexAction:
    """Something done to indices; see Action."""

    value: str
    granted_by: Sequence[str]
    indices: Sequence[Sequence[str]]
    privilege: str | None = None  # to be asked for, where it is not the action of that name


@dataclass(frozen=True, slots=True)
class Allowed:
    """The caller may. `authenticated` is false where nobody has checked its credentials."""

    authenticated: bool
    user: str | None = field(default=None, compare=False)  # its name, where the upstream tells it
    expires: float = field(default=math.inf, compare=False)  # when to ask again, as time.monotonic


class Refused(ABC):
    """The caller is known, but may not."""

    # Of an action's indices, those to which it may not be done, where the upstream tells.
    lacking: Sequence[Sequence[str]]

    @abstractmethod
    async def error(self) -> ProxyError:
        """What the caller is told, if nothing else is wrong with its request."""


Verdict = Allowed | Refused


class Permit(Protocol):
    """What is asked before every action."""

    @property
    def is_due(self) -> bool:
        """Whether `confirm` has anything to do."""

    async def confirm(self) -> None: ...

    async def confirm_stream(self) -> None: ...


class Permission:
    """What the caller of one request was allowed: asked for again when it is too old to act on."""

    def __init__(
        self,
        verdict: Allowed,
        ask: Callable[[], Awaitable[Verdict]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._expires = verdict.expires
        self._ask = ask
        self._clock = clock

    def hold(self) -> None:
        """`confirm` and `confirm_stream` are about this from here on, in this task."""
        _current.set(self)

    @property
    def is_due(self) -> bool:
        return self._clock() >= self._expires

    async def confirm(self) -> None:
        if not self.is_due:
            return
        verdict = await self._ask()
        if isinstance(verdict, Refused):
            raise await verdict.error()
        self._expires = verdict.expires

    async def confirm_stream(self) -> None:
        if self._clock() < self._expires + STREAM_GRACE:
            return
        try:
            await self.confirm()
        except UpstreamError:
            self._expires = self._clock()  # nobody can tell: what has begun goes on


STREAM_GRACE: Final = 8.0  # seconds for which a stream goes on with a verdict that has expired
NOT_CONFIRMED: Final = (Unauthorized, UpstreamRefusal, UpstreamError)  # what `confirm` raises
# A context variable, because actions are begun by functions that know nothing of callers.
_current: ContextVar[Permit | None] = ContextVar("permission", default=None)


def held(permit: Permit) -> AbstractContextManager[None]:
    """The context in which `confirm` and `confirm_stream` are about this."""
    return Scope(_current, permit)


def permission_held() -> Permit | None:
    """That of the request under way."""
    return _current.get()


def is_confirmed() -> bool:
    """Whether `confirm` has nothing to do."""
    permission = _current.get()
    return permission is None or not permission.is_due


async def confirm() -> None:
    """Return if the caller of the request under way may still act; call it before every action.

    A request waits for its body, for the rate limit of an endpoint and for attempts that fail.
    Raises: one of NOT_CONFIRMED: it may not, or the upstream cannot be asked.
    """
    if (permission := _current.get()) is not None and permission.is_due:
        await permission.confirm()


async def confirm_stream() -> None:
    """Return if the caller may still get what it streams; call it before each event.

    Raises: as `confirm`, but that the upstream cannot be asked ends no stream.
    """
    if (permission := _current.get()) is not None:
        await permission.confirm_stream()


class CredentialHash:
    """Tells callers apart by a hash of their credentials, keyed so that it reveals nothing."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def of(self, identity: object) -> bytes:
        """32 bytes for what identifies a caller; identities that differ need different `repr`s."""
        return hmac.digest(self._key, repr(identity).encode(), "sha256")
