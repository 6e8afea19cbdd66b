"""Whether a caller may do what it asks for, and the credentials that tell callers apart."""

from __future__ import annotations

import hmac
import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from proxy.errors import ProxyError

RUN_AS: Final = "es-security-runas-user"
# The headers by which Elasticsearch authenticates a request.
CREDENTIAL_HEADERS: Final = ("Authorization", RUN_AS, "es-secondary-authorization")


class Action(Protocol):
    """Something that callers must be allowed to do."""

    @property
    def value(self) -> str:
        """Elasticsearch's name of it, such as `cluster:admin/xpack/inference/put`."""

    @property
    def granted_by(self) -> Sequence[str]:
        """The cluster privileges that grant it."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """The caller may. `authenticated` is false where nobody has checked its credentials."""

    authenticated: bool
    user: str | None = field(default=None, compare=False)  # its name, where the upstream tells it


class Refused(ABC):
    """The caller is known, but may not."""

    @abstractmethod
    async def error(self) -> ProxyError:
        """What the caller is told, if nothing else is wrong with its request."""


Verdict = Allowed | Refused


class CredentialHash:
    """Tells callers apart by a hash of their credentials, keyed so that it reveals nothing."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def of(self, identity: object) -> bytes:
        """32 bytes for what identifies a caller; identities that differ need different `repr`s."""
        return hmac.digest(self._key, repr(identity).encode(), "sha256")
