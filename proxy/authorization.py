"""Who a caller is taken for, and what the upstream's security can say of it."""

from __future__ import annotations

import hmac
import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from proxy.errors import ProxyError

RUN_AS: Final = "es-security-runas-user"
# The headers by which Elasticsearch authenticates a request.
CREDENTIAL_HEADERS: Final = ("Authorization", RUN_AS, "es-secondary-authorization")


class Action(Protocol):
    """Something that callers must be allowed, by Elasticsearch's own name of it."""

    @property
    def value(self) -> str: ...

    @property
    def granted_by(self) -> Sequence[str]:
        """The cluster privileges that grant it."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """The caller may; `authenticated`: whether anybody has looked at its credentials."""

    authenticated: bool


class Refused(ABC):
    """The caller is known, but may not."""

    @abstractmethod
    async def error(self) -> ProxyError:
        """What the caller is told: asked for only if nothing else is wrong with its request."""


Verdict = Allowed | Refused


class CredentialHash:
    """Tells callers apart by a keyed hash of their credentials, which gives nothing away."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def of(self, identity: object) -> bytes:
        """32 bytes for whatever identifies a caller; `identity` must have a faithful `repr`."""
        return hmac.digest(self._key, repr(identity).encode(), "sha256")
