"""Elasticsearch for the tests of the store: one index per test, and direct access to it."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from yarl import URL

from proxy.config import StoreConfig, UpstreamConfig
from proxy.store.elasticsearch import ElasticsearchStore
from proxy.store.elasticsearch.mapping import FIELDS
from tests.support.storeconformance import Stored
from tests.support.users import basic

KEY = "11" * 32
STORE_USER = {"username": "endpoint-store", "password": "endpoint-store-password"}
STORE_PRIVILEGES = ["read", "write", "create_index"]  # what the documentation asks for


class Cluster(Stored):
    """An Elasticsearch, and one index of it for the store of one test."""

    def __init__(self, url: str, *, secured: bool) -> None:
        self.url = url
        self.secured = secured
        self.index = f"hugging-face-inference-endpoints-{uuid4().hex[:12]}"

    def upstream(self) -> UpstreamConfig:
        credentials: dict[str, Any] = STORE_USER if self.secured else {}
        return UpstreamConfig(url=self.url, **credentials)

    def config(self, **more: Any) -> StoreConfig:
        return StoreConfig(**{"index": self.index, "encryption_key": KEY, **more})

    async def call(self, method: str, path: str, body: Any = None, expect: int = 200) -> Any:
        """Send a request as the administrator, not through the store."""
        headers = {"Authorization": basic("admin")} if self.secured else {}
        async with (
            ClientSession(headers=headers) as session,
            session.request(method, self.url + path, json=body) as answer,
        ):
            assert answer.status in (expect, 201), await answer.text()
            return await answer.json()

    async def raw(self) -> bytes:
        found = await self.call("GET", f"/{self.index}/_search?size=100")
        texts = [repr(hit) for hit in found["hits"]["hits"]]
        texts += [
            base64.b64decode(hit["_source"]["blob"]).decode("latin1")
            for hit in found["hits"]["hits"]
        ]
        return "".join(texts).encode("latin1")

    async def copy(self, source: str, target: str) -> None:
        document = await self._document(source)
        await self._write(target, {**document, "id": target})

    async def rewrite(self, inference_id: str, **fields: object) -> None:
        document = await self._document(inference_id)
        for name, value in fields.items():
            document[name] = base64.b64encode(value).decode() if isinstance(value, bytes) else value
        await self._write(inference_id, document)

    async def blob(self, inference_id: str) -> bytes:
        return base64.b64decode((await self._document(inference_id))["blob"])

    async def assert_as_made(self) -> None:
        """Check settings and mappings: made by the proxy, not by dynamic mapping."""
        about = (await self.call("GET", f"/{self.index}"))[self.index]
        settings = about["settings"]["index"]
        assert settings["hidden"] == "true"
        assert settings["number_of_shards"] == "1"
        assert settings["auto_expand_replicas"] == "0-1"
        assert about["mappings"]["dynamic"] == "strict"
        kinds = {name: field["type"] for name, field in about["mappings"]["properties"].items()}
        assert kinds == FIELDS

    async def set(self, **settings: Any) -> None:
        """Change settings of the index, such as `blocks__write`; None resets one."""
        body = {f"index.{name.replace('__', '.')}": value for name, value in settings.items()}
        await self.call("PUT", f"/{self.index}/_settings", body)

    async def set_cluster(self, name: str, value: Any) -> None:
        await self.call("PUT", "/_cluster/settings", {"persistent": {name: value}})

    async def _document(self, inference_id: str) -> Any:
        return (await self.call("GET", f"/{self.index}/_doc/{inference_id}"))["_source"]

    async def _write(self, inference_id: str, document: Any) -> None:
        await self.call("PUT", f"/{self.index}/_doc/{inference_id}?refresh=true", document)


async def opened(cluster: Cluster, folder: Path, **config: Any) -> ElasticsearchStore:
    store = ElasticsearchStore(cluster.upstream(), cluster.config(**config), folder=folder)
    await store.open()
    return store


@asynccontextmanager
async def deleting_the_index_before_changes(cluster: Cluster) -> AsyncIterator[UpstreamConfig]:
    """The cluster at another address, where the index is deleted as soon as a change arrives."""

    async def hand_on(request: web.Request) -> web.Response:
        if request.path.endswith("/_bulk"):
            await cluster.call("DELETE", f"/{cluster.index}")
        async with session.request(
            request.method,
            URL(cluster.url + request.raw_path, encoded=True),
            headers=request.headers,
            data=await request.read(),
        ) as answer:
            names = ("Content-Type", "X-Elastic-Product")
            headers = {name: answer.headers[name] for name in names if name in answer.headers}
            return web.Response(status=answer.status, headers=headers, body=await answer.read())

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", hand_on)
    async with ClientSession() as session, TestServer(application) as server:
        yield replace(cluster.upstream(), url=f"http://{server.host}:{server.port}")
