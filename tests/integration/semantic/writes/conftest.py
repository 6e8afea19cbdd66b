"""A proxy with the semantic layer, an Elasticsearch behind it, and a provider that can fail."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from testbed.elasticsearch import Elasticsearch
from tests.integration.semantic.writes.site import Site
from tests.support.embedder import Embedder
from tests.support.processes import Serve
from tests.support.stubs import in_thread


@pytest.fixture(scope="module")
def embedder() -> Iterator[Embedder]:
    with in_thread(Embedder()) as running:
        yield running


@pytest.fixture(scope="module")
def proxy_of_module(
    serve_for_session: Serve, elasticsearch: Elasticsearch, embedder: Embedder
) -> str:
    env = {
        "HFPROXY_SEMANTIC_ENABLED": "true",
        "HFPROXY_STORE_INDEX": f"hugging-face-inference-endpoints-{uuid4().hex[:8]}",
        "HFPROXY_PROVIDER_RETRY_INITIAL_DELAY": "0.01",
        "HFPROXY_PROVIDER_RETRY_MAX_DELAY": "0.01",
    }
    return serve_for_session(upstream=elasticsearch.url, env=env).url


@pytest.fixture
def site(
    request: pytest.FixtureRequest,
    proxy_of_module: str,
    elasticsearch: Elasticsearch,
    embedder: Embedder,
) -> Iterator[Site]:
    """An endpoint `w-embed`; what begins with the PREFIX of the module is gone after the test."""
    made = Site(proxy_of_module, elasticsearch.url, embedder, request.module.PREFIX)
    made.put_endpoint("w-embed")
    embedder.texts.clear()
    yield made
    made.clean()
