"""The one aiohttp session for all providers; nothing of a caller or of the upstream is in it."""

from __future__ import annotations

import ssl
from typing import Final

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar

from proxy.config import EgressConfig
from proxy.ground.sessions import HEAD_LIMITS, READ_BUFFER, Response
from proxy.huggingface.calls import MOST_ENDING
from proxy.huggingface.egress import EgressRules

_CONNECT_TIMEOUT: Final = 5.0  # seconds


def provider_session(config: EgressConfig, rules: EgressRules, *, most: int) -> ClientSession:
    """A session with at most so many connections to each host, besides those of ending answers."""
    return ClientSession(
        connector=rules.connector(
            limit=0,
            limit_per_host=most + MOST_ENDING,
            ssl=ssl.create_default_context(cafile=config.ca_file) if config.ca_file else True,
        ),
        response_class=Response,
        timeout=ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT),
        cookie_jar=DummyCookieJar(),
        trust_env=config.proxy == "environment",
        proxy=config.proxy if config.proxy not in (None, "environment") else None,
        read_bufsize=READ_BUFFER,
        **HEAD_LIMITS,
    )
