"""A scripted provider, and proxies in front of a real Elasticsearch, for the contract cases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from uuid import uuid4

import pytest

from tests.contract.api import Target
from tests.support.processes import Serve
from tests.support.stubs import FaultyServer, contract_reply, in_thread
from tests.support.users import USERS, basic, store_credentials

# As many retries as usual, but without delay; cases about time use `patient_target`.
FAST_RETRIES: Final = {
    "HFPROXY_PROVIDER_RETRY_INITIAL_DELAY": "0.01",
    "HFPROXY_PROVIDER_RETRY_MAX_DELAY": "0.02",
}


def _own_index() -> dict[str, str]:
    """A store index for one proxy alone, which it may empty."""
    return {"HFPROXY_STORE_INDEX": f"hugging-face-inference-endpoints-{uuid4().hex[:8]}"}


@pytest.fixture(scope="session")
def stub() -> Iterator[FaultyServer]:
    """The provider of all cases."""
    with in_thread(FaultyServer(contract_reply)) as server:
        yield server


@pytest.fixture(scope="session")
def open_target(serve_for_session: Serve, elasticsearch, stub: FaultyServer) -> Target:
    """A proxy with fast retries in front of an Elasticsearch without security."""
    proxy = serve_for_session(upstream=elasticsearch.url, env=FAST_RETRIES | _own_index())
    return Target(url=proxy.url, variables={"HF_URL": stub.url})


@pytest.fixture(scope="session")
def patient_target(serve_for_session: Serve, elasticsearch, stub: FaultyServer) -> Target:
    """A proxy with the default retry delays."""
    proxy = serve_for_session(upstream=elasticsearch.url, env=_own_index())
    return Target(url=proxy.url, variables={"HF_URL": stub.url})


@pytest.fixture(scope="session")
def secured_target(serve_for_session: Serve, secured_elasticsearch, stub: FaultyServer) -> Target:
    """A proxy in front of an Elasticsearch with security."""
    env = FAST_RETRIES | store_credentials() | _own_index()
    proxy = serve_for_session(upstream=secured_elasticsearch.url, env=env)
    variables = {"HF_URL": stub.url, "AUTH_SUPERUSER": basic("admin")}
    for variable, name in (("MONITOR_INFERENCE", "monitor"), ("NO_PRIV", "nobody")):
        variables[f"AUTH_{variable}"] = basic(name)
        variables[f"USER_{variable}"] = name
        variables[f"ROLES_{variable}"] = USERS[name][1]
    return Target(url=proxy.url, authorization=basic("admin"), variables=variables)
