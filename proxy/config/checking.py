"""The rules that a configuration must follow, beyond the types of its values."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from operator import attrgetter
from typing import Final

from yarl import URL

from proxy.config.addresses import is_own
from proxy.config.keys import Key
from proxy.config.prices import Prices
from proxy.config.providing import MODEL_GUARDS
from proxy.config.values import (
    DEFAULT_ADMIN,
    KEYS,
    LOG_FORMATS,
    LOG_LEVELS,
    MAX_NESTING,
    RELEASES,
    X_FORWARDED,
    Config,
    UpstreamConfig,
)

_MAX_INDEX_NAME: Final = 255  # bytes


class ConfigError(Exception):
    """What is wrong with the configuration, in one line."""


def check(config: Config) -> None:
    """Raises: ConfigError for the first rule that is broken."""
    listening = split_address(config.listen)
    if config.admin.listen:
        host, port = split_address(config.admin.listen)
        if port and is_own(listening, (host, port)):
            raise ConfigError("[listen] and [admin.listen] need different ports")
        if not port and config.workers > 1:  # a worker could not deny providers the others' ports
            raise ConfigError("[admin.listen] needs a port of its own with several [workers]")
    if config.compatibility not in RELEASES:
        raise ConfigError(f"[compatibility] must be one of {', '.join(RELEASES)}")
    for key in KEYS.values():
        if key.kind in (int, float):
            _check_number(key, attrgetter(key.name)(config))
    if config.limits.nesting > MAX_NESTING:
        raise ConfigError(f"[limits.nesting] must be {MAX_NESTING} or less")
    if config.log.format not in (None, *LOG_FORMATS):
        raise ConfigError("[log.format] must be text or json")
    if config.log.level not in LOG_LEVELS:
        raise ConfigError("[log.level] must be debug, info, warning or error")
    _check_prices(config.provider.prices)
    if config.provider.model_guard not in (None, *MODEL_GUARDS):
        raise ConfigError("[provider.model_guard] must be warn or refuse")
    _check_store(config)
    if config.semantic.enabled and not config.upstream.url:
        raise ConfigError("[semantic.enabled] needs [upstream.url]")
    if config.upstream.url is not None:
        _check_upstream(config.upstream)
        _check_listeners(config)


def split_address(address: str) -> tuple[str, int]:
    """`HOST:PORT`, or `[V6]:PORT`, as a pair. Raises: ConfigError."""
    host, colon, port = address.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ConfigError(f"[{address}] is not HOST:PORT")
    return host.strip("[]") or "127.0.0.1", int(port)


def _check_number(key: Key, value: float) -> None:
    if not math.isfinite(value) or value < 0 or (value == 0 and not key.may_be_zero):
        rule = "more than 0" if isinstance(value, float) else "1 or more"
        raise ConfigError(f"[{key.name}] must be {'0 or more' if key.may_be_zero else rule}")


def _check_prices(texts: Sequence[str]) -> None:
    try:
        Prices(texts)
    except ValueError as error:
        raise ConfigError(
            f"[provider.prices] must be ID=PRICE or ID=INPUT/OUTPUT, not [{error}]"
        ) from None


def _check_store(config: Config) -> None:
    kind = config.store_kind
    if kind != "elasticsearch" and not re.fullmatch("sqlite:.+", kind, re.DOTALL):
        raise ConfigError("[store.kind] must be elasticsearch or sqlite:PATH")
    if kind == "elasticsearch" and not config.upstream.url:
        raise ConfigError("[store.kind] elasticsearch needs [upstream.url]")
    if rule := _broken_name_rule(config.store.index):
        raise ConfigError(f"[store.index] must be a name that an index can have: {rule}")


def _broken_name_rule(index: str) -> str | None:
    """The rule that a name of an index breaks.

    Source: MetadataCreateIndexService.validateIndexName, Strings.INVALID_FILENAME_CHARS.
    """
    if not index or index in (".", ".."):
        return "not empty, [.] or [..]"
    if found := re.search(r'[\\/*?"<>| ,#:]', index):
        return f"without [{found[0]}]"
    if index[0] in "_-+":
        return f"not beginning with [{index[0]}]"
    if index != index.lower():
        return "in lower case"
    if len(index.encode(errors="replace")) > _MAX_INDEX_NAME:
        return f"of {_MAX_INDEX_NAME} bytes at most"
    return None


def _check_listeners(config: Config) -> None:
    """Raises: ConfigError if the proxy would be its own upstream."""
    for key, address in (
        ("listen", config.listen),
        ("admin.listen", DEFAULT_ADMIN if config.admin.listen is None else config.admin.listen),
    ):
        if not address:
            continue
        listening = split_address(address)
        for url in map(URL, config.upstream.urls):
            if is_own(listening, (url.host or "", url.port or 0)):
                raise ConfigError(
                    f"[upstream.url] is the proxy's own address, [{key}]: name Elasticsearch's"
                )


def _check_upstream(upstream: UpstreamConfig) -> None:
    if not upstream.urls:
        raise ConfigError("[upstream.url] is empty: name Elasticsearch's address, or leave it out")
    schemes = {_upstream_url(text).scheme for text in upstream.urls}
    if len(schemes) != 1:
        raise ConfigError("[upstream.url] must be http for all nodes, or https for all")
    if upstream.fingerprint is not None:
        if schemes != {"https"}:
            raise ConfigError("[upstream.fingerprint] needs an https [upstream.url]")
        if not re.fullmatch(r"([0-9a-fA-F]{2}:?){31}[0-9a-fA-F]{2}", upstream.fingerprint):
            raise ConfigError("[upstream.fingerprint] must be SHA-256 in hex")
    if upstream.host is not None and not re.fullmatch(r"[\w.:\[\]-]+", upstream.host, re.ASCII):
        raise ConfigError("[upstream.host] must be HOST or HOST:PORT")
    if upstream.x_forwarded not in X_FORWARDED:
        raise ConfigError(f"[upstream.x_forwarded] must be one of {', '.join(X_FORWARDED)}")


def _upstream_url(text: str) -> URL:
    try:
        url = URL(text)
        plain = url.scheme in ("http", "https") and url.host and url.port
    except ValueError:
        plain = False
    if not plain or url.path not in ("", "/") or url.query_string or url.fragment:
        raise ConfigError("[upstream.url] must be http(s)://HOST:PORT, with no path")
    if url.user is not None or url.password is not None:
        # User info would override the caller's own Authorization header.
        raise ConfigError("[upstream.url] must hold no user name: set [upstream.username]")
    return url
