"""The files that the configuration names: certificates, keys, and the configuration itself."""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from proxy.commands.checks.findings import Finding, error, ok, warning
from proxy.config import KEYS, ConfigError, Settings, TlsConfig, UpstreamConfig, readable_by_all
from proxy.huggingface.egress import EgressRules
from proxy.upstream.tls import own_certificate

SOON: Final = timedelta(days=30)
Clock = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now(UTC)


def check_files(settings: Settings, now: Clock = _now) -> Iterator[Finding]:
    """Whether the files can be read, fit each other, are valid, and are not open to everybody."""
    config = settings.config
    yield from _configuration(settings)
    yield from _own_certificate("tls", config.tls, now())
    yield from _authorities("upstream.ca_file", config.upstream.ca_file, now())
    yield from _own_certificate("upstream", config.upstream, now())
    yield from _authorities("egress.ca_file", config.egress.ca_file, now())
    yield from map(warning, readable_by_all(config))


def _configuration(settings: Settings) -> Iterator[Finding]:
    path = settings.file
    source = "defaults, environment and flags" if path is None else f"[{path}]"
    yield ok(f"configuration: every setting is valid ({source})")
    config = settings.config
    try:
        EgressRules(config.egress, upstream=config.upstream.urls, listeners=[config.listen])
    except ConfigError as problem:
        yield error(f"{problem}")
    for remark in settings.remarks:
        yield warning(f"configuration: {remark}")
    yield from _secrets_for_all(settings)


def _secrets_for_all(settings: Settings) -> Iterator[Finding]:
    """Whether the configuration file has secrets in it, and everybody can read them."""
    path = settings.file
    secrets = [name for name, key in KEYS.items() if key.secret or key.may_hold_password]
    if path is None or not any(settings.origins[name] == "file" for name in secrets):
        return
    if os.name == "posix" and path.stat().st_mode & stat.S_IROTH:
        yield warning(
            f"configuration: [{path}] can be read by every user of this machine: chmod o-r {path}"
        )


def _own_certificate(
    section: str, config: TlsConfig | UpstreamConfig, now: datetime
) -> Iterator[Finding]:
    name = f"[{section}.certificate]"
    try:
        own = own_certificate(section, config)
        if own is None:
            return
        own.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        certificates = x509.load_pem_x509_certificates(own.certificate.read_bytes())
    except (ConfigError, OSError, ValueError) as problem:
        yield error(f"{problem}")
        return
    yield _validity(f"{name} [{own.certificate}] fits its key", certificates[:1], now)


def _authorities(name: str, path: Path | None, now: datetime) -> Iterator[Finding]:
    if path is None:
        return
    try:
        certificates = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as problem:
        yield error(f"[{name}] cannot read [{path}]: {problem.strerror}")
    except ValueError:
        yield error(f"[{name}] [{path}] holds no certificate in PEM")
    else:
        count = len(certificates)
        plural = "" if count == 1 else "s"
        yield _validity(f"[{name}] [{path}] holds {count} certificate{plural}", certificates, now)


def _validity(text: str, certificates: list[x509.Certificate], now: datetime) -> Finding:
    """Whether they are valid; of several, one that is not makes no other useless."""
    ends = min(one.not_valid_after_utc for one in certificates)
    begins = max(one.not_valid_before_utc for one in certificates)
    level = error if len(certificates) == 1 else warning
    if ends <= now:
        return level(f"{text}, but one has expired on {ends:%Y-%m-%d}: renew it")
    if begins > now:
        return level(f"{text}, but one is not valid before {begins:%Y-%m-%d %H:%M} UTC")
    if ends - now < SOON:
        return warning(f"{text}, but one expires on {ends:%Y-%m-%d}: renew it")
    return ok(f"{text}, valid until {ends:%Y-%m-%d}")
