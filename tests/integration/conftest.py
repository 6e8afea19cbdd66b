"""Fixtures for proxies and stores: indices of their own, older Elasticsearches, a provider."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from elasticsearch import Elasticsearch as Client

from testbed.elasticsearch import Elasticsearch
from testbed.processes import Server, proxy_command
from tests.support.clusters import STORE_PRIVILEGES, STORE_USER, Cluster
from tests.support.processes import Serve, clean_environ
from tests.support.security import wait_until_settled
from tests.support.stubs import FaultyServer, contract_reply, in_thread

# Endpoints of `semantic_proxy`, with their tasks and the paths of the local provider.
MODELS: Final = {
    "clients-embeddings": ("text_embedding", "/embed"),
    "clients-rerank": ("rerank", "/rerank"),
}


@pytest.fixture
def stub() -> Iterator[FaultyServer]:
    """The provider of the contract cases."""
    with in_thread(FaultyServer(contract_reply)) as server:
        yield server


@pytest.fixture
def own_index() -> dict[str, str]:
    """The setting that gives a proxy a store index for this test alone."""
    return {"HFPROXY_STORE_INDEX": f"hugging-face-inference-endpoints-{uuid4().hex[:8]}"}


@pytest.fixture(scope="session")
def semantic_proxy(
    serve_for_session: Serve, elasticsearch: Elasticsearch, provider: Server
) -> Iterator[Server]:
    """A proxy with semantic fields, before real models: the endpoints of MODELS."""
    env = {
        "HFPROXY_SEMANTIC_ENABLED": "true",
        # Each process of a test run has a proxy with endpoints of these names.
        "HFPROXY_STORE_INDEX": f"hugging-face-inference-endpoints-{uuid4().hex[:8]}",
        "HFPROXY_PROVIDER_TIMEOUT": "120",
    }
    proxy = serve_for_session(upstream=elasticsearch.url, env=env)
    with Client(proxy.url, request_timeout=120) as client:
        for inference_id, (task_type, path) in MODELS.items():
            settings = {"url": provider.url + path, "api_key": "any-text"}
            body: dict[str, Any] = {"service": "hugging_face", "service_settings": settings}
            client.inference.put(
                task_type=task_type, inference_id=inference_id, inference_config=body
            )
        yield proxy
        for inference_id in MODELS:
            client.inference.delete(inference_id=inference_id, force=True)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command of the proxy until it ends."""

    def run(*arguments: str, env: Mapping[str, str | None] | None = None):
        return subprocess.run(
            proxy_command(*arguments),
            env=clean_environ(tmp_path / "state", env),
            capture_output=True,
            text=True,
            timeout=30,
        )

    return run


@pytest.fixture
async def open_cluster(elasticsearch):
    cluster = Cluster(elasticsearch.url, secured=False)
    yield cluster
    await cluster.call("DELETE", f"/{cluster.index}?ignore_unavailable=true")


@pytest.fixture
async def secured_cluster(secured_elasticsearch):
    wait_until_settled(secured_elasticsearch.url)
    cluster = Cluster(secured_elasticsearch.url, secured=True)
    rights = {"names": ["hugging-face-inference-endpoints-*"], "privileges": STORE_PRIVILEGES}
    await cluster.call("PUT", "/_security/role/endpoint-store", {"indices": [rights]})
    user = {"password": STORE_USER["password"], "roles": ["endpoint-store"]}
    await cluster.call("PUT", f"/_security/user/{STORE_USER['username']}", user)
    yield cluster
    await cluster.call("DELETE", f"/{cluster.index}?ignore_unavailable=true")


@pytest.fixture(scope="module")
def older(request, clusters):
    """An Elasticsearch without security; the parameter is its version."""
    return clusters.get(request.param)


@pytest.fixture
async def older_cluster(older):
    cluster = Cluster(older.url, secured=False)
    yield cluster
    await cluster.call("DELETE", f"/{cluster.index}?ignore_unavailable=true")
