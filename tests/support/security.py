"""Waiting for Elasticsearch's own security to be ready."""

from __future__ import annotations

import time

from tests.support.rawhttp import send
from tests.support.users import basic

TIMEOUT = 60.0  # seconds


def wait_until_settled(url: str) -> None:
    """Wait until the index `.security` exists, which holds roles and API keys.

    Elasticsearch 9 creates it some seconds after the first request; meanwhile any authenticated
    request may be answered 503.
    """
    deadline = time.monotonic() + TIMEOUT
    headers = [("Authorization", basic("admin")), ("Content-Type", "application/json")]
    last = None
    while time.monotonic() < deadline:
        for method, target, content in (
            ("PUT", "/_security/role/settled", b"{}"),
            ("GET", "/_cluster/health/.security-7?wait_for_active_shards=1&timeout=10s", None),
            ("GET", "/_security/role/settled", None),
        ):
            last = send(url, method, target, headers, content)
            if last.status != 200:
                break
        else:
            return
        time.sleep(0.2)
    raise TimeoutError(f"security is not ready: {last}")
