"""The values of the configuration: one dataclass for each section, one field for each key.

The texts beside the fields are written into configs/proxy.yml and docs/configuration.md by
`make settings`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Final

from proxy.config.caching import CacheConfig
from proxy.config.keys import Key, keys_of, setting
from proxy.config.providing import ProviderConfig

# Releases of Elasticsearch whose API can be served; proxy.inference.releases has what differs.
RELEASES: Final = ("8.19", "9.2", "9.5", "9.6")
MAX_NESTING: Final = 200  # orjson writes 254 levels at most; Elasticsearch reads 1000
X_FORWARDED: Final = ("pass", "append", "replace")
LOG_FORMATS: Final = ("text", "json")
DEFAULT_ADMIN: Final = "127.0.0.1:9280"
LOG_LEVELS: Final = ("debug", "info", "warning", "error")


def state_folder() -> Path:
    """Where files that the proxy makes for itself live by default."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "hugging-face-proxy"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsConfig:
    """TLS towards callers. Without a certificate they speak plain HTTP."""

    certificate: Path | None = setting(
        None,
        "PEM file with the certificate and its chain",
        "On SIGHUP it is read again.",
        absent="plain HTTP",
    )
    key: Path | None = setting(
        None, "PEM file with its key", absent="the same file as the certificate"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamConfig:
    """The Elasticsearch behind the proxy.

    The credentials here are the proxy's own, for its store and for what semantic fields need.
    Callers are let through with theirs, and Elasticsearch decides what they may do.
    """

    url: str | None = setting(
        None,
        "Address of Elasticsearch: `http(s)://HOST:PORT`, several nodes with commas between",
        "Each request goes to the node with the fewest under way. A node "
        "that cannot be reached, or answers 502, 503 or 504 three times in a row, is passed over "
        "until it works again; requests that may be repeated then go to another one.",
        absent="only _inference is served",
    )
    api_key: str | None = setting(
        None,
        "API key of the proxy, in its encoded form",
        "It needs the privileges read, write and create_index on store.index, and no others; "
        "`python -m proxy setup` makes such a key.",
        secret=True,
    )
    service_token: str | None = setting(
        None,
        "Token of a service account, instead of an API key",
        "Their privileges are fixed, and few of them reach store.index: `check` tells.",
        secret=True,
    )
    username: str | None = setting(None, "User of the proxy, instead of an API key")
    password: str | None = setting(None, "Password of that user", secret=True)
    ca_file: Path | None = setting(
        None, "PEM file with the certificates to trust", absent="those of the system"
    )
    certificate: Path | None = setting(
        None, "PEM file with the proxy's certificate, if Elasticsearch asks clients for one"
    )
    key: Path | None = setting(
        None, "PEM file with its key", absent="the same file as the certificate"
    )
    fingerprint: str | None = setting(
        None,
        "SHA-256, in hex, of Elasticsearch's certificate or of the authority that signed it",
        "Elasticsearch prints it when it starts for the first time. Nothing else of the "
        "certificate is checked then.",
    )
    verify: bool = setting(
        True,
        "Whether Elasticsearch's certificate is checked",
        "`false` accepts any: whoever is in between can read and change everything.",
    )
    host: str | None = setting(
        None,
        "`Host` header that Elasticsearch sees: `HOST` or `HOST:PORT`",
        "Needed where a name decides who answers, as in Elastic Cloud.",
        absent="the caller's own",
    )
    x_forwarded: str = setting(
        "pass",
        "What happens to X-Forwarded-For, -Proto and -Host: `pass`, `append` or `replace`",
        "`pass` sends them as they come; `append` adds the caller's address to what a proxy in "
        "front of this one says; `replace` drops what callers say, where they are not trusted.",
    )
    max_connections: int = setting(
        10_000,
        "Connections to each node, of each worker",
        "When all are in use, a request waits ten seconds for one, then gets a 429.",
    )
    connect_timeout: float = setting(10.0, "Time for a connection to be made", unit="seconds")
    response_timeout: float = setting(
        0.0,
        "Time for the next bytes of an answer, then 504; 0 is without limit",
        "Some requests take hours.",
        unit="seconds",
        may_be_zero=True,
    )
    answer_size: int = setting(
        32 * 1024 * 1024,
        "Size of an answer that has to be read as a whole; larger ones get a 400",
        "Answers of searches with retrievers, or with highlights of semantic fields, have to be. "
        "Nearly all others are streamed, whatever their size. One that is read takes several times "
        "its size in memory.",
        unit="bytes",
    )
    check_timeout: float = setting(
        10.0,
        "Time for Elasticsearch to say whether a caller may do what it asks for",
        unit="seconds",
    )

    @property
    def urls(self) -> list[str]:
        """One for each node."""
        return [url.strip() for url in items(self.url or "")]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    """Where inference endpoints are kept, with their tokens encrypted."""

    kind: str | None = setting(
        None,
        "`elasticsearch`, or `sqlite:PATH`",
        "Any number of proxies can share the first, those on one machine the second.",
        absent="elasticsearch with an upstream, else endpoints.db in the state folder",
    )
    index: str = setting(
        "hugging-face-inference-endpoints",
        "Hidden index of the Elasticsearch store, for the proxy alone",
    )
    freshness: float = setting(
        1.0,
        "Time for which a process may use an endpoint as it last read it",
        unit="seconds",
        may_be_zero=True,
    )
    timeout: float = setting(10.0, "Time for one answer of the store", unit="seconds")
    encryption_key: str | None = setting(
        None,
        "Key that encrypts the endpoints: 32 bytes in base64 or hex (`openssl rand -hex 32`)",
        "Proxies that share a store need the same one. The one that is made on the first start "
        "lies beside a SQLite file, else in the state folder ($XDG_STATE_HOME or ~/.local/state, "
        "hugging-face-proxy). Keep a copy.",
        absent="made on the first start",
        secret=True,
    )
    encryption_key_file: Path | None = setting(
        None,
        "File that holds this key, instead of `encryption_key`",
        "It may be mounted read-only from a secret of Kubernetes or Docker. Nobody but root, the "
        "proxy's user and its groups may be able to write to it; that holds for every file with a "
        "secret. If everybody can read it, the log warns at the start.",
    )
    previous_key: str | None = setting(
        None,
        "Key before the present one, while keys are changed",
        "What it encrypted can still be read; what is written is encrypted with the present one. "
        "`python -m proxy rekey` ends the change.",
        secret=True,
    )
    previous_key_file: Path | None = setting(
        None, "File that holds this key, instead of `previous_key`"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressConfig:
    """Where calls to providers may go.

    They never go to Elasticsearch, to the proxy itself, or to link-local and metadata addresses,
    where clouds hand out credentials.
    """

    proxy: str | None = setting(
        None,
        "HTTP proxy for these calls: its URL, or `environment` for HTTPS_PROXY and its like",
        "It looks names up for itself, so `egress.allow` must list what may be called. Where the "
        "names in that list lead is up to the HTTP proxy.",
        absent="no proxy",
        may_hold_password=True,
    )
    allow: tuple[str, ...] = setting(
        (),
        "Host names, addresses and networks that may be called, and then no others",
        'For instance ["*.endpoints.huggingface.cloud", "10.1.0.0/16"]. An empty list allows '
        "private addresses, too, since model servers often stand beside the proxy.",
    )
    ca_file: Path | None = setting(
        None, "PEM file with the certificates to trust", absent="those of the system"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticConfig:
    """Fields of type `semantic_text` on an Elasticsearch that has none, or lacks the licence."""

    enabled: bool | None = setting(
        None,
        "Whether fields of type `semantic_text` are offered",
        "Needs an upstream and, where its security is on, privileges to see mappings, aliases and "
        "templates: `setup --semantic` grants them, `check` names what is missing.",
        absent="yes, if the proxy has these privileges when it starts",
    )
    default_inference_id: str | None = setting(
        None, "Endpoint of fields that name none", absent="such fields are refused"
    )
    refresh: float = setting(
        1.0,
        "Time between two looks at what other proxies and clients have changed",
        "No document is written by what was seen three times as long ago: if Elasticsearch then "
        "cannot be asked, documents are refused.",
        unit="seconds",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsConfig:
    """What callers may send, and how much at once. Each worker counts for itself."""

    inference_body: int = setting(
        100 * 1024 * 1024,
        "Size of an _inference request's body, once decompressed",
        "All other bodies are streamed, and Elasticsearch limits them.",
        unit="bytes",
    )
    memory: int = setting(
        320 * 1024 * 1024,
        "Memory of all bodies and replies under way together, as estimated",
        "Three bytes are reckoned for each byte of a body (five where not all of it is ASCII, "
        "seven with characters beyond U+FFFF), four for each byte of a reply. Requests beyond it "
        "are refused with 429, as by Elasticsearch's circuit breakers. One caller may hold fifteen "
        "sixteenths of it.",
        unit="bytes",
    )
    nesting: int = setting(
        MAX_NESTING, f"How deeply a body may be nested, {MAX_NESTING} levels at most"
    )
    values: int = setting(100_000, "Values in a body")
    inputs: int = setting(10_000, "Inputs of one request")
    calls: int = setting(
        2000,
        "Inferences and changes of endpoints under way at once; further ones get a 429",
        "One caller may have fifteen sixteenths of them.",
    )
    streams: int = setting(3000, "Streams under way at once; further ones get a 429")
    streams_per_caller: int = setting(
        1500,
        "Streams of one caller at once",
        "A caller is the user that Elasticsearch names for its credentials, whichever of its keys "
        "it uses, or, without any that Elasticsearch checks, who comes from the same address "
        "(IPv6: the same network of 64 bits).",
    )
    connections: int = setting(10_000, "Connections of callers; further ones get a 429")
    head: int = setting(65536, "Size of a request's head", unit="bytes")
    keepalive_timeout: float = setting(
        75.0, "Time that a caller's connection may stay unused", unit="seconds"
    )
    head_timeout: float = setting(30.0, "Time for a request's head to arrive", unit="seconds")
    drain_timeout: float = setting(
        30.0,
        "Time for requests under way to end, once the proxy is told to stop",
        unit="seconds",
        may_be_zero=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminConfig:
    """What operators see: `/livez`, `/readyz`, `/endpoints`, and `/metrics` for Prometheus.

    Nobody is asked for credentials.
    """

    listen: str | None = setting(
        None,
        'Address, `HOST:PORT`; `""` for none',
        "The first worker takes this port, each further one the next that is free. An address "
        "that stands here must be free.",
        absent=f"{DEFAULT_ADMIN} if that is free",
    )
    named_endpoints: int = setting(
        100,
        "Inference endpoints that have figures of their own; those of all others are added up",
        may_be_zero=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """The log, on standard error. It never holds a body, a token, or a header but X-Opaque-Id."""

    format: str | None = setting(
        None,
        "`text`, or `json` (Elastic Common Schema)",
        absent="text on a terminal, else json",
    )
    level: str = setting("info", "`debug`, `info`, `warning` or `error`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole configuration; `Config()` is what holds without a file."""

    listen: str = setting(
        "127.0.0.1:9201",
        "Address where callers connect, `HOST:PORT`",
        "Only this machine reaches the default; 0.0.0.0:9201 is for all.",
    )
    workers: int = setting(
        1, "Processes that share the address", "One is enough for most; at most one for each core."
    )
    lane: bool = setting(
        True,
        "Whether requests are forwarded by the lane, the fast path",
        "`false`, or `--no-lane`, serves everything by aiohttp: slower, but without uvloop.",
    )
    compatibility: str = setting(
        "9.2",
        "Release of Elasticsearch whose _inference API is served: 8.19, 9.2, 9.5 or 9.6",
        "8.19 answers time-outs with 408. From 9.5 on, chats may take two minutes by default and "
        "tell what a model thinks (`reasoning`), and `_update` needs no token and is tried before "
        "it is stored. 9.6 also has chats without `_stream`.",
    )
    tls: TlsConfig = field(default_factory=TlsConfig)
    upstream: UpstreamConfig = field(default_factory=UpstreamConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    provider: ProviderConfig = field(default_factory=ProviderConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
    egress: EgressConfig = field(default_factory=EgressConfig)
    semantic: SemanticConfig = field(default_factory=SemanticConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    admin: AdminConfig = field(default_factory=AdminConfig)
    log: LogConfig = field(default_factory=LogConfig)

    @property
    def store_kind(self) -> str:
        """The store in force, defaults applied."""
        if self.store.kind is not None:
            return self.store.kind
        return "elasticsearch" if self.upstream.url else f"sqlite:{state_folder() / 'endpoints.db'}"


KEYS: Final[dict[str, Key]] = {key.name: key for key in keys_of(Config)}
SECTIONS: Final[dict[str, type[Any]]] = {
    entry.name: type(value)
    for entry in fields(Config)
    if is_dataclass(value := getattr(Config(), entry.name))
}


def items(text: str) -> list[str]:
    """The parts of a text with commas between them."""
    return [item for item in text.split(",") if item.strip()]
