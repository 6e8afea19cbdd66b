"""Waiting for Elasticsearch's own security to be ready."""

from __future__ import annotations

import time
from typing import Final

from elastic_transport import TransportError
from elasticsearch import ApiError, Elasticsearch

from testbed.elasticsearch import Elasticsearch as Running
from tests.support.rawhttp import send
from tests.support.users import USERS, basic

TIMEOUT: Final = 60.0  # seconds
ELASTIC: Final = "elastic-password"  # of the built-in user, where it has one


def client_of(running: Running, username: str, password: str) -> Elasticsearch:
    """A client that is connected directly, over https."""
    login = (username, password)
    return Elasticsearch(running.url, ca_certs=str(running.authority), basic_auth=login)


def give_elastic_its_password(running: Running) -> None:
    """Once the index `.security` is there, which Elasticsearch 9 makes after the first request."""
    deadline = time.monotonic() + TIMEOUT
    with client_of(running, "admin", USERS["admin"][0]) as admin:
        while True:
            try:
                admin.security.change_password(username="elastic", password=ELASTIC)
                break
            except (ApiError, TransportError):
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.2)


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
