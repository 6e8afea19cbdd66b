"""Pipelines of callers who may write documents, but not simulate what pipelines do."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
from aiohttp import ClientSession

from tests.integration.semantic.ingesting import CALLS, UPPER, Caller, answer, calling, infer
from tests.support.processes import Serve
from tests.support.stubs import FaultyServer, in_thread
from tests.support.users import USERS, basic

USER = {"set_security_user": {"field": "user", "properties": ["username"]}}


@pytest.fixture(scope="module")
def urls(serve_for_session: Serve, secured_elasticsearch) -> Iterator[tuple[str, str]]:
    """Those of a proxy and of its provider."""
    with in_thread(FaultyServer(answer)) as provider:
        env = {
            "HFPROXY_SEMANTIC_ENABLED": "true",
            "HFPROXY_STORE_INDEX": f"hugging-face-inference-endpoints-{uuid4().hex[:8]}",
            "HFPROXY_UPSTREAM_USERNAME": "admin",
            "HFPROXY_UPSTREAM_PASSWORD": USERS["admin"][0],
        }
        yield serve_for_session(upstream=secured_elasticsearch.url, env=env).url, provider.url


@pytest.fixture
async def admin(urls) -> AsyncIterator[Caller]:
    url, provider = urls
    async with calling(url, provider, user=basic("admin")) as admin:
        yield admin


@pytest.fixture
async def writer(urls, admin) -> AsyncIterator[Caller]:
    """One who may write documents, and nothing else."""
    role = {"indices": [{"names": [f"{admin.name}*"], "privileges": ["write", "read"]}]}
    await admin("PUT", f"/_security/role/{admin.name}", role)
    user = {"password": "of-a-writer", "roles": [admin.name]}
    status, told = await admin("PUT", f"/_security/user/{admin.name}", user)
    assert status == 200, told
    token = base64.b64encode(f"{admin.name}:of-a-writer".encode()).decode()
    async with ClientSession() as session:
        yield Caller(session, urls[0], admin.name, f"Basic {token}")
    await admin("DELETE", f"/_security/user/{admin.name}")
    await admin("DELETE", f"/_security/role/{admin.name}")


async def make(admin: Caller, pipeline: str) -> None:
    field = {"type": "semantic_text", "inference_id": "i-embed"}
    body = {
        "mappings": {"properties": {"body": field, "vector": {"type": "float"}}},
        "settings": {"default_pipeline": pipeline},
    }
    status, told = await admin("PUT", f"/{admin.name}", body)
    assert status == 200, told


async def test_pipelines_run_for_whoever_may_write(admin, writer):
    await make(admin, await admin.put("p", infer(), UPPER))
    status, told = await writer("PUT", f"/{admin.name}/_doc/1", {"body": "fox"})
    assert status == 201, told
    assert CALLS == [["fox"], ["FOX"]]


async def test_what_depends_on_the_caller_never_runs_for_the_proxy(admin, writer):
    await make(admin, await admin.put("p", USER))
    status, told = await admin("PUT", f"/{admin.name}/_doc/1", {"body": "fox"})
    assert status == 201, told
    assert (await admin.source("1"))["user"] == {"username": "admin"}
    status, told = await writer("PUT", f"/{admin.name}/_doc/1", {"body": "fox"})
    assert (status, told["error"]["type"]) == (403, "status_exception")
    assert "[set_security_user]" in told["error"]["reason"]
