"""A provider and callers for tests of ingest pipelines."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import orjson
from aiohttp import ClientSession

from tests.support.stubs import Call, Reply, json_reply

UPPER = {"uppercase": {"field": "body"}}
CALLS: list[list[str]] = []  # the texts of each call of the provider


def answer(call: Call) -> Reply:
    """Three dimensions, by the length of a text; BOOM is refused. A completion of what is asked."""
    body = orjson.loads(call.body)
    if "messages" in body:
        text = body["messages"][0]["content"]
        choice = {"index": 0, "message": {"role": "assistant", "content": f"re: {text}"}}
        return json_reply({"id": "1", "object": "chat.completion", "choices": [choice]})
    texts = body["inputs"]
    CALLS.append(texts)
    if any("BOOM" in text for text in texts):
        return json_reply({"error": "boom"}, 400)
    return json_reply([[len(text), 1.0, 0.5] for text in texts])


class Caller:
    """Sends requests about indices and pipelines that begin with `name`."""

    def __init__(
        self, session: ClientSession, url: str, name: str | None = None, user: str | None = None
    ) -> None:
        self._session = session
        self._url = url
        self._headers = {} if user is None else {"Authorization": user}
        self.name = name or f"i-{uuid4().hex[:8]}"

    async def __call__(self, method: str, target: str, body: Any = None) -> tuple[int, Any]:
        data = body if isinstance(body, bytes | None) else orjson.dumps(body)
        headers = {**self._headers, **({"Content-Type": "application/json"} if data else {})}
        request = self._session.request(method, self._url + target, data=data, headers=headers)
        async with request as reply:
            return reply.status, json.loads(await reply.read())

    async def put(self, pipeline: str, *processors: Any, **more: Any) -> str:
        """Store a pipeline; its id."""
        pipeline_id = f"{self.name}-{pipeline}"
        body = {"processors": list(processors), **more}
        status, told = await self("PUT", f"/_ingest/pipeline/{pipeline_id}", body)
        assert status == 200, told
        return pipeline_id

    async def source(self, document_id: str) -> Any:
        _, found = await self("GET", f"/{self.name}/_doc/{document_id}")
        return found.get("_source")

    async def bulk(self, *lines: Any, query: str = "") -> list[Any]:
        body = b"".join(orjson.dumps(line) + b"\n" for line in lines)
        _, told = await self("POST", f"/{self.name}/_bulk?refresh=true{query}", body)
        return [next(iter(item.values())) for item in told["items"]]


@asynccontextmanager
async def calling(url: str, provider: str, user: str | None = None) -> AsyncIterator[Caller]:
    """A caller of a proxy that has the endpoint of `infer`; what it makes is removed."""
    async with ClientSession() as session:
        caller = Caller(session, url, user=user)
        settings = {"url": f"{provider}/embed", "api_key": "x"}
        endpoint = {"service": "hugging_face", "service_settings": settings}
        await caller("PUT", "/_inference/text_embedding/i-embed", endpoint)
        CALLS.clear()
        yield caller
        await caller("DELETE", f"/{caller.name}*")
        await caller("DELETE", f"/_ingest/pipeline/{caller.name}-*")


def infer(output: str = "vector", source: str = "body", **more: Any) -> dict[str, Any]:
    pair = {"input_field": source, "output_field": output}
    return {"inference": {"model_id": "i-embed", "input_output": [pair], **more}}
