"""One index for the store of one test, on the Elasticsearches that tests share."""

from __future__ import annotations

import pytest

from tests.support.clusters import STORE_PRIVILEGES, STORE_USER, Cluster
from tests.support.security import wait_until_settled


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
    """An Elasticsearch without security, of the version that is the fixture's parameter."""
    return clusters.get(request.param)


@pytest.fixture
async def older_cluster(older):
    cluster = Cluster(older.url, secured=False)
    yield cluster
    await cluster.call("DELETE", f"/{cluster.index}?ignore_unavailable=true")
