"""What a process says once it has started: what it serves, and what its operator should know."""

from __future__ import annotations

import ipaddress
import logging
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from proxy.app import Facts
from proxy.config import Config, split_address

_PACKAGE: Final = "elasticsearch-hugging-face-proxy"
_SECURITY: Final = {True: "on", False: "off", None: "unknown"}

log = logging.getLogger(__name__)


def report_start(config: Config, url: str, facts: Facts) -> None:
    """Log what is served at `url`, and warn where nobody's credentials are checked."""
    own, security = _own_version(), _SECURITY[facts.security]
    store = config.store_kind.partition(":")[0]
    upstream, endpoints = _upstream(config, facts), facts.endpoints
    log.info(
        "version %s at %s: %s, store %s, %s inference endpoints",
        own,
        url,
        upstream,
        store,
        "unknown" if endpoints is None else endpoints,
        extra={
            "event.action": "started",
            "service.version": own,
            "url.full": url,
            "labels.upstream": config.upstream.url,
            "labels.upstream_version": facts.upstream_version,
            "labels.security": security if config.upstream.urls else None,
            "labels.store": store,
            "labels.endpoints": None if endpoints is None else str(endpoints),
        },
    )
    _report_lacking(config, facts)
    unchecked = facts.security is False
    if not config.upstream.urls:
        unchecked = True
        log.warning("there is no upstream: only _inference is served; set [upstream.url]")
    if unchecked and not _is_local(url):
        log.warning(
            "other machines can reach %s, and nobody's credentials are checked: whoever does can "
            "use, change and delete every inference endpoint",
            url,
        )


def _report_lacking(config: Config, facts: Facts) -> None:
    """Log which privileges are missing: one by one only if semantic fields were asked for."""
    if facts.lacking and config.semantic.enabled is None:
        log.info(
            "fields of type [semantic_text] are not offered, as the proxy's own credentials lack "
            "the privileges [%s]: `setup --semantic` grants them",
            ", ".join(right.name for right in facts.lacking),
        )
        return
    for right in facts.lacking:
        log.warning(
            "the proxy's own credentials lack the privilege [%s], which fields of type "
            "[semantic_text] need %s",
            right.name,
            right.use,
        )


def _upstream(config: Config, facts: Facts) -> str:
    if not config.upstream.urls:
        return "no upstream"
    told = facts.upstream_version or "unknown"
    nodes = ", ".join(config.upstream.urls)
    return f"upstream [{nodes}] (version {told}, security {_SECURITY[facts.security]})"


def _is_local(url: str) -> bool:
    """Whether only this machine can reach the address that the process listens on."""
    host, _ = split_address(url.rpartition("/")[2])
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _own_version() -> str:
    try:
        return version(_PACKAGE)
    except PackageNotFoundError:  # run from its source
        return "unknown"
