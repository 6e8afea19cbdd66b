"""The HTTP server of the local provider.

POST /, /embed                      the first embedding model
POST /rerank                        the cross-encoder, or the first embedding model's cosines
POST /models/{name}[/embed|/rerank] an embedding model by name
POST /v1/chat/completions           the chat model, streams included
GET  /info, /models/{name}/info     what is served
GET  /health, /ping, /              200 without a body
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Final

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout, web
from aiohttp.typedefs import Handler

from proxy.modelserver.bodies import (
    MAX_BODY,
    BackendFailed,
    Overloaded,
    Refused,
    parse_embed,
    parse_rerank,
)
from proxy.modelserver.chat import ChatModel
from proxy.modelserver.transformer import CrossEncoder, EmbeddingModel

DEFAULT_MAX_BATCH: Final = 32
MAX_CONCURRENT: Final = 512  # requests
JSON: Final = {"Content-Type": "application/json"}


@dataclass(kw_only=True)
class Provider:
    """What is served: at least one embedding model, by name in paths, the default one first."""

    embedders: Mapping[str, EmbeddingModel]
    reranker: CrossEncoder | None = None
    chat: ChatModel | None = None
    api_key: str | None = field(default=None, repr=False)
    max_batch: int = DEFAULT_MAX_BATCH

    def embedder(self, name: str | None) -> EmbeddingModel:
        """The embedding model of that name, or the default one.

        Raises: Refused if there is none.
        """
        found = next(iter(self.embedders.values())) if name is None else self.embedders.get(name)
        if found is None:
            raise Refused(404, f"no model [{name}]; there is {', '.join(self.embedders)}")
        return found

    def info(self, name: str | None) -> dict[str, Any]:
        """The body of GET /info: TEI's keys, and what else is served."""
        model = self.embedder(name)
        return {
            "model_id": model.model_id,
            "model_dtype": "float32",
            "model_type": {"embedding": {"pooling": model.pooling}},
            "max_concurrent_requests": MAX_CONCURRENT,
            "max_input_length": model.encoder.max_length,
            "max_client_batch_size": self.max_batch,
            "auto_truncate": True,
            "version": version("elasticsearch-hugging-face-proxy"),
            "models": {f"/models/{name}": other.model_id for name, other in self.embedders.items()},
            "rerank": self._rerank_info(model),
            "chat": None if self.chat is None else {"model_id": self.chat.model_id},
        }

    def _rerank_info(self, model: EmbeddingModel) -> dict[str, str]:
        if self.reranker is not None:
            method = "cross-encoder: the sigmoid of its logit, or the logit if raw_scores"
            return {"model_id": self.reranker.model_id, "method": method}
        method = "no cross-encoder: (1 + cosine) / 2 of the embeddings, or the cosine if raw_scores"
        return {"model_id": model.model_id, "method": method}


PROVIDER: Final = web.AppKey("PROVIDER", Provider)
SESSION: Final = web.AppKey("SESSION", ClientSession)


class _Gate:
    """Counts the requests that are being served."""

    def __init__(self) -> None:
        self._inside = 0

    @web.middleware
    async def limit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what exceeds MAX_CONCURRENT requests."""
        if self._inside >= MAX_CONCURRENT and request.method == "POST":
            raise Overloaded
        self._inside += 1
        try:
            return await handler(request)
        finally:
            self._inside -= 1


def make_app(provider: Provider) -> web.Application:
    """The application; its models stay the caller's to close."""
    middlewares = [_render_refusals, _check_key, _Gate().limit]
    app = web.Application(client_max_size=MAX_BODY, middlewares=middlewares)
    app[PROVIDER] = provider
    for prefix in ("", "/models/{model}"):
        app.router.add_post(prefix or "/", embed)
        app.router.add_post(f"{prefix}/embed", embed)
        app.router.add_post(f"{prefix}/rerank", rerank)
        app.router.add_get(f"{prefix}/info", info)
    for path in ("/health", "/ping", "/"):
        app.router.add_get(path, health)
    app.router.add_post("/v1/chat/completions", chat_completions)
    app.cleanup_ctx.append(_session)
    return app


async def _session(app: web.Application) -> Any:
    async with ClientSession(timeout=ClientTimeout()) as session:
        app[SESSION] = session
        yield


@web.middleware
async def _render_refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as refusal:
        headers = JSON if refusal.error_type else {"Content-Type": "text/plain; charset=utf-8"}
        return web.Response(status=refusal.status, headers=headers, body=refusal.body())
    except web.HTTPRequestEntityTooLarge:
        text = "Failed to buffer the request body: length limit exceeded"
        return web.Response(status=413, text=text)


@web.middleware
async def _check_key(request: web.Request, handler: Handler) -> web.StreamResponse:
    """With a key, every POST needs it as a Bearer token; the refusal has no body."""
    key = request.app[PROVIDER].api_key
    if key is not None and request.method == "POST":
        sent = request.headers.get("Authorization", "")
        if not secrets.compare_digest(sent.encode(), f"Bearer {key}".encode()):
            return web.Response(status=401)
    return await handler(request)


async def _read_json(request: web.Request) -> bytes:
    """The body of a request that says it is JSON.

    Raises: Refused.
    """
    if request.content_type != "application/json":
        raise Refused(415, "Expected request with `Content-Type: application/json`")
    return await request.read()


async def embed(request: web.Request) -> web.Response:
    """POST /embed: one vector per input, in order."""
    provider = request.app[PROVIDER]
    model = provider.embedder(request.match_info.get("model"))
    wanted = parse_embed(await _read_json(request), provider.max_batch)
    vectors = await model.embed(wanted.inputs, truncate=wanted.truncate, normalize=wanted.normalize)
    body = orjson.dumps(vectors, option=orjson.OPT_SERIALIZE_NUMPY)
    return web.Response(body=body, headers=JSON)


async def rerank(request: web.Request) -> web.Response:
    """POST /rerank: the texts' indexes and scores, best first."""
    provider = request.app[PROVIDER]
    name = request.match_info.get("model")
    model = provider.embedder(name) if name else provider.reranker or provider.embedder(None)
    wanted = parse_rerank(await _read_json(request), provider.max_batch)
    scores = await model.rank(
        wanted.query, wanted.texts, truncate=wanted.truncate, raw_scores=wanted.raw_scores
    )
    ranks: list[dict[str, Any]] = [
        {"index": index, "text": text, "score": score}
        if wanted.return_text
        else {"index": index, "score": score}
        for index, (text, score) in enumerate(zip(wanted.texts, scores, strict=True))
    ]
    ranks.sort(key=lambda rank: rank["score"], reverse=True)
    return web.Response(body=orjson.dumps(ranks), headers=JSON)


async def chat_completions(request: web.Request) -> web.StreamResponse:
    """POST /v1/chat/completions: the chat model's own answer, passed on as it comes."""
    chat = request.app[PROVIDER].chat
    if chat is None:
        raise Refused(404, "no chat model is served")
    body = await _read_json(request)
    try:
        async with request.app[SESSION].post(chat.url, data=body, headers=chat.headers) as answer:
            headers = {"Content-Type": answer.headers["Content-Type"]}
            response = web.StreamResponse(status=answer.status, headers=headers)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response
    except ClientError as error:
        raise BackendFailed(f"Inference failed: {error}") from error


async def info(request: web.Request) -> web.Response:
    """GET /info"""
    body = request.app[PROVIDER].info(request.match_info.get("model"))
    return web.Response(body=orjson.dumps(body), headers=JSON)


async def health(_: web.Request) -> web.Response:
    """GET /health: the server only listens once every model is loaded."""
    return web.Response()
