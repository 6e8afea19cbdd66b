"""The configuration: one YAML file, and an environment variable for every key.

A key `section.name` is the variable `HFPROXY_SECTION_NAME`; the environment wins over the file,
command-line flags win over both. Unknown keys are an error.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from yarl import URL

from proxy.masking import shown_name

PREFIX: Final = "HFPROXY_"
# Names that people already have in their environment.
ALIASES: Final = {"ELASTICSEARCH_URL": "upstream.url", "ELASTIC_API_KEY": "upstream.api_key"}

# Of Elasticsearch, whose API can be served: what differs stands in proxy.inference.releases.
RELEASES: Final = ("8.19", "9.2", "9.5", "9.6")
MAX_NESTING: Final = 200  # orjson writes 254 levels at most; Elasticsearch reads 1000
X_FORWARDED: Final = ("pass", "append", "replace")


class ConfigError(Exception):
    """What is wrong with the configuration, in one line."""


def state_folder() -> Path:
    """Where files that the proxy makes for itself live by default."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "hugging-face-proxy"


def _secret() -> Any:
    return field(default=None, repr=False, metadata={"secret": True})


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamConfig:
    """The Elasticsearch behind the proxy. Credentials are the proxy's own, for the store alone."""

    url: str | None = None  # or several with commas between: the nodes of one cluster
    api_key: str | None = _secret()
    username: str | None = None
    password: str | None = _secret()
    ca_file: Path | None = None
    certificate: Path | None = None  # of the proxy, for an upstream that asks for one
    key: Path | None = None
    fingerprint: str | None = None  # SHA-256 of its certificate, or of one that vouches for it
    verify: bool = True
    host: str | None = None  # that callers' requests are sent with, instead of the caller's own
    x_forwarded: str = "pass"  # or `append`, `replace`
    max_connections: int = 10_000  # of each node
    connect_timeout: float = 10.0  # seconds
    response_timeout: float = 0.0  # seconds for the next bytes of an answer; 0 is for ever
    check_timeout: float = 10.0  # seconds for a privilege check

    @property
    def urls(self) -> list[str]:
        """One for each node."""
        return [url.strip() for url in _items(self.url or "")]


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsConfig:
    """PEM files for TLS towards callers, read again on SIGHUP; without them, plain HTTP."""

    certificate: Path | None = None  # with its chain
    key: Path | None = None  # without one, it stands in `certificate`


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    """`kind` is `elasticsearch` or `sqlite:PATH`; without one, Elasticsearch if there is any."""

    kind: str | None = None
    index: str = "hugging-face-inference-endpoints"
    freshness: float = 1.0  # seconds a process may answer from memory
    timeout: float = 10.0  # seconds for one store call
    encryption_key: str | None = _secret()  # 32 bytes, base64 or hex
    encryption_key_file: Path | None = None
    previous_key: str | None = _secret()
    previous_key_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderConfig:
    """How Hugging Face endpoints are called."""

    timeout: float = 30.0  # seconds, when the request names none
    stream_idle_timeout: float = 120.0  # seconds between two chunks of a stream
    max_response_bytes: int = 50 * 1024 * 1024
    max_batch_inputs: int = 32
    concurrency: int = 4  # batches of one request under way at once
    queue_capacity: int = 2000  # requests waiting for one endpoint's rate limit
    # Elasticsearch's xpack.inference.http.retry.*, in seconds.
    retry_initial_delay: float = 1.0
    retry_max_delay: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressConfig:
    """Where provider calls may go; `allow` lists host names, addresses or networks."""

    proxy: str | None = field(default=None, repr=False)  # a URL, or `environment`
    allow: tuple[str, ...] = ()
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsConfig:
    """Bounds on what callers may send; sizes in bytes, times in seconds."""

    inference_body: int = 100 * 1024 * 1024
    memory: int = 320 * 1024 * 1024  # of bodies and replies under way, as estimated
    nesting: int = 200  # levels of a body
    values: int = 100_000  # in a body
    inputs: int = 10_000  # of one request
    calls: int = 2000  # inferences and changes of endpoints at once
    streams: int = 3000  # at once
    streams_per_caller: int = 1500
    connections: int = 10_000  # of callers, at once
    head: int = 65536
    keepalive_timeout: float = 75.0
    head_timeout: float = 30.0
    drain_timeout: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminConfig:
    """Where health and metrics are told; None is 127.0.0.1:9280 if that is free, "" nowhere."""

    listen: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """`format` is `text` or `json` (ECS); without one, text on a terminal and json elsewhere."""

    format: str | None = None
    level: str = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole configuration; see configs/proxy.yml for a text on each key."""

    listen: str = "127.0.0.1:9201"
    workers: int = 1
    lane: bool = True
    compatibility: str = "9.2"  # the release of Elasticsearch whose API is served
    tls: TlsConfig = field(default_factory=TlsConfig)
    upstream: UpstreamConfig = field(default_factory=UpstreamConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    provider: ProviderConfig = field(default_factory=ProviderConfig)
    egress: EgressConfig = field(default_factory=EgressConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    admin: AdminConfig = field(default_factory=AdminConfig)
    log: LogConfig = field(default_factory=LogConfig)

    @property
    def store_kind(self) -> str:
        """The store in force, defaults applied."""
        if self.store.kind is not None:
            return self.store.kind
        return "elasticsearch" if self.upstream.url else f"sqlite:{state_folder() / 'endpoints.db'}"


def load_config(
    path: Path | None, environ: Mapping[str, str], flags: Mapping[str, Any] | None = None
) -> Config:
    """Read the file, then the environment, then `flags` (dotted keys), each over the last.

    Raises: ConfigError naming the key and the rule it breaks.
    """
    values: dict[str, Any] = {}
    if path is not None:
        values.update(_flatten(_read_yaml(path)))
    keys = _keys(Config)
    for name, key in ALIASES.items():
        if environ.get(name):
            values[key] = environ[name]
    for name, text in environ.items():
        if name.startswith(PREFIX):
            key = _key_of(name, keys)
            values[key] = _items(text) if keys[key] == tuple[str, ...] else text
    values.update({k: v for k, v in (flags or {}).items() if v is not None})
    for key in values:
        if key not in keys:
            shown = ".".join(map(shown_name, key.split(".")))  # one may be a value, misplaced
            raise ConfigError(f"unknown key [{shown}]; known keys are {', '.join(sorted(keys))}")
    typed = {key: _convert(key, value, keys[key]) for key, value in values.items()}
    config: Config = _build(Config, "", typed)
    _check(config)
    return config


def describe(config: Config) -> dict[str, Any]:
    """Every key in force, secrets masked: what `check` prints."""
    shown = {
        key: "********" if secret and value is not None else value
        for key, value, secret in _walk(config, "")
    }
    if config.egress.proxy is not None:  # it may hold a name and a password
        shown["egress.proxy"] = re.sub(r"//.*@", "//********@", config.egress.proxy)
    return shown


def split_address(address: str) -> tuple[str, int]:
    """`HOST:PORT`, or `[V6]:PORT`, as a pair."""
    host, colon, port = address.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ConfigError(f"[{address}] is not HOST:PORT")
    return host.strip("[]") or "127.0.0.1", int(port)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read [{path}]: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"[{path}] is not UTF-8") from None
    except yaml.YAMLError as error:
        # Its own text quotes the line, which may hold a secret.
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"[{path}] is not YAML{where}") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"[{path}] must hold keys and values")
    return document


def _flatten(document: dict[Any, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in document.items():
        if isinstance(value, dict):
            flat.update(_flatten(value, f"{prefix}{name}."))
        elif value is not None:
            flat[f"{prefix}{name}"] = value
    return flat


def _keys(cls: type, prefix: str = "") -> dict[str, Any]:
    keys: dict[str, Any] = {}
    for name, hint in typing.get_type_hints(cls).items():
        if dataclasses.is_dataclass(hint):
            keys.update(_keys(typing.cast(type, hint), f"{prefix}{name}."))
        else:
            keys[f"{prefix}{name}"] = hint
    return keys


def _key_of(variable: str, keys: Mapping[str, Any]) -> str:
    plain = variable.removeprefix(PREFIX).lower()
    for key in keys:
        if key.replace(".", "_") == plain:
            return key
    raise ConfigError(f"unknown environment variable [{variable}]")


def _convert(key: str, value: Any, hint: Any) -> Any:
    """`value` as the type of its field; texts from the environment are read as YAML would."""
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    kind = next(k for k in kinds if k is not type(None))
    try:
        if kind == tuple[str, ...]:
            items = _items(value) if isinstance(value, str) else value
            return tuple(str(item).strip() for item in items)
        if kind is bool:
            return {"true": True, "false": False}[str(value).lower()]
        if isinstance(value, list | bool):
            raise ValueError
        return kind(value)
    except (KeyError, TypeError, ValueError):
        wanted = "a list of texts" if kind == tuple[str, ...] else f"of type {kind.__name__}"
        raise ConfigError(f"[{key}] must be {wanted}") from None


def _items(text: str) -> list[str]:
    return [item for item in text.split(",") if item.strip()]


def _build(cls: type[Any], prefix: str, values: Mapping[str, Any]) -> Any:
    arguments: dict[str, Any] = {}
    for name, hint in typing.get_type_hints(cls).items():
        if dataclasses.is_dataclass(hint):
            arguments[name] = _build(typing.cast(type, hint), f"{prefix}{name}.", values)
        elif f"{prefix}{name}" in values:
            arguments[name] = values[f"{prefix}{name}"]
    return cls(**arguments)


def _walk(value: Any, prefix: str) -> list[tuple[str, Any, bool]]:
    rows: list[tuple[str, Any, bool]] = []
    for entry in dataclasses.fields(value):
        inner = getattr(value, entry.name)
        if dataclasses.is_dataclass(inner):
            rows.extend(_walk(inner, f"{prefix}{entry.name}."))
        else:
            rows.append((f"{prefix}{entry.name}", inner, "secret" in entry.metadata))
    return rows


# Where nothing, or no time, means something; every other number is more than that.
_MAY_BE_ZERO: Final = frozenset(
    (
        "store.freshness",
        "provider.queue_capacity",
        "provider.retry_initial_delay",
        "provider.retry_max_delay",
        "upstream.response_timeout",
        "limits.drain_timeout",
    )
)


def _check(config: Config) -> None:
    split_address(config.listen)
    if config.admin.listen:
        _, port = split_address(config.admin.listen)
        if not port and config.workers > 1:  # no worker would know the others' to protect them
            raise ConfigError("[admin.listen] needs a port of its own with several [workers]")
    if config.compatibility not in RELEASES:
        raise ConfigError(f"[compatibility] must be one of {', '.join(RELEASES)}")
    for key, value, _ in _walk(config, ""):
        if type(value) in (int, float):
            _check_number(key, value)
    if config.limits.nesting > MAX_NESTING:
        raise ConfigError(f"[limits.nesting] must be {MAX_NESTING} or less")
    if config.log.format not in (None, "text", "json"):
        raise ConfigError("[log.format] must be text or json")
    if config.log.level not in ("debug", "info", "warning", "error"):
        raise ConfigError("[log.level] must be debug, info, warning or error")
    kind = config.store_kind
    if kind != "elasticsearch" and not kind.startswith("sqlite:"):
        raise ConfigError("[store.kind] must be elasticsearch or sqlite:PATH")
    if kind == "elasticsearch" and not config.upstream.url:
        raise ConfigError("[store.kind] elasticsearch needs [upstream.url]")
    if config.upstream.url is not None:
        _check_upstream(config.upstream)


def _check_number(key: str, value: float) -> None:
    if not math.isfinite(value) or value < 0 or (value == 0 and key not in _MAY_BE_ZERO):
        rule = "more than 0" if isinstance(value, float) else "1 or more"
        raise ConfigError(f"[{key}] must be {'0 or more' if key in _MAY_BE_ZERO else rule}")


def _check_upstream(upstream: UpstreamConfig) -> None:
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
