"""The proxy's own credentials: of one kind at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from proxy.config.checking import ConfigError
from proxy.config.values import UpstreamConfig

_KINDS: Final = {
    "upstream.api_key": "API key",
    "upstream.service_token": "service account token",
    "upstream.username": "user",
    "upstream.password": "user",
}


def kind_of(key: str) -> str | None:
    """The kind of credentials that a key belongs to; None for any other key."""
    return _KINDS.get(key)


def kinds_of(keys: Collection[str]) -> set[str]:
    """The kinds of credentials that there are among the keys."""
    return {_KINDS[key] for key in keys if key in _KINDS}


def check_one_kind(names: Mapping[str, str]) -> None:
    """Raises: ConfigError when one source has two kinds; `names` are what its keys stand under."""
    by_kind: dict[str, str] = {}
    for key, kind in _KINDS.items():
        if key in names:
            by_kind.setdefault(kind, names[key])
    if len(by_kind) > 1:
        first, second, *_ = by_kind.values()
        raise ConfigError(
            f"[{first}] and [{second}] contradict each other: the proxy has one kind of "
            "credentials at a time"
        )


def halves(upstream: UpstreamConfig) -> Iterator[str]:
    """A line for a user without a password, or the other way round."""
    if upstream.password is not None and upstream.username is None:
        yield "[upstream.password] has no effect without [upstream.username]"
    if upstream.username is not None and upstream.password is None:
        yield "[upstream.username] has no [upstream.password]: an empty one is sent"
