"""A proxy with the semantic layer, an Elasticsearch behind it, and a provider that can fail."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from uuid import uuid4

import pytest

from testbed.elasticsearch import Elasticsearch
from tests.integration.semantic.writes.site import Site
from tests.support.embedder import Embedder
from tests.support.processes import Serve
from tests.support.stubs import in_thread

_LOCK: Final = Path(tempfile.gettempdir()) / "semantic-writes.lock"


@pytest.fixture(scope="module", autouse=True)
def _no_other_module() -> Iterator[None]:
    """The tests of these modules name the same indices: another process waits for its turn."""
    with _LOCK.open("a") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield


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
def site(proxy_of_module: str, elasticsearch: Elasticsearch, embedder: Embedder) -> Iterator[Site]:
    """An endpoint `w-embed`, and indices that are gone after the test."""
    made = Site(proxy_of_module, elasticsearch.url, embedder)
    made.put_endpoint("w-embed")
    embedder.texts.clear()
    yield made
    made.clean()
