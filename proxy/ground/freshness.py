"""Whether a request wants what the provider says now, and not what it has said before."""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Final

from proxy.ground.errors import IllegalArgument
from proxy.ground.scopes import Scope

# For the proxy alone: it is passed on to nobody.
HEADER: Final = "X-Embedding-Cache"
_NO_CACHE: Final = "no-cache"

# A context variable, because embeddings are looked for by functions that know nothing of requests.
_wanted: ContextVar[bool] = ContextVar("fresh", default=False)


def wanting(value: str) -> AbstractContextManager[None]:
    """The context of a request with this HEADER. Raises: IllegalArgument for another value."""
    if value.strip().lower() != _NO_CACHE:
        raise IllegalArgument(f"the header [{HEADER}] must be [{_NO_CACHE}]")
    return Scope(_wanted, True)


def is_wanted() -> bool:
    """Whether the request under way wants the provider to be asked, whatever is remembered."""
    return _wanted.get()
