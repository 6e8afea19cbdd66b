"""The HTTP application of the model server.

POST /, /embed                      the first embedding model
POST /rerank                        the cross-encoder, else the first embedding model's cosines
POST /models/{name}[/embed|/rerank] the embedding model of that name
POST /v1/chat/completions           the chat model, streamed or not
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

from proxy.ground.sessions import HEAD_LIMITS, Connector
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
OF_TEI: Final = {"x-compute-type": "cpu"}  # as text-embeddings-inference answers


@dataclass(kw_only=True)
class ModelServer:
    """The models that are served, and for whom."""

    embedders: Mapping[str, EmbeddingModel]  # by name in paths, at least one, the default first
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
        """The body of GET /info: TEI's keys, and those of the other models."""
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


SERVER: Final = web.AppKey("SERVER", ModelServer)
SESSION: Final = web.AppKey("SESSION", ClientSession)


class _Gate:
    """Refuses what exceeds MAX_CONCURRENT requests at the same time."""

    def __init__(self) -> None:
        self._running = 0

    @web.middleware
    async def limit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._running >= MAX_CONCURRENT and request.method == "POST":
            raise Overloaded
        self._running += 1
        try:
            return await handler(request)
        finally:
            self._running -= 1


def make_app(server: ModelServer) -> web.Application:
    """The application. It does not close the models."""
    middlewares = [_render_refusals, _check_key, _Gate().limit]
    app = web.Application(client_max_size=MAX_BODY, middlewares=middlewares)
    app[SERVER] = server
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
    async with ClientSession(
        connector=Connector(), timeout=ClientTimeout(), **HEAD_LIMITS
    ) as session:
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
    """Answer a POST without the key, where one is set, by 401 and no body."""
    key = request.app[SERVER].api_key
    if key is not None and request.method == "POST":
        sent = request.headers.get("Authorization", "")
        if not secrets.compare_digest(sent.encode(), f"Bearer {key}".encode()):
            return web.Response(status=401)
    return await handler(request)


async def _read_json(request: web.Request) -> bytes:
    """The body of a request. Raises: Refused, unless its content type is JSON."""
    if request.content_type != "application/json":
        raise Refused(415, "Expected request with `Content-Type: application/json`")
    return await request.read()


async def embed(request: web.Request) -> web.Response:
    """POST /embed: an array with one vector per input, in order."""
    server = request.app[SERVER]
    model = server.embedder(request.match_info.get("model"))
    wanted = parse_embed(await _read_json(request), server.max_batch)
    vectors = await model.embed(wanted.inputs, truncate=wanted.truncate, normalize=wanted.normalize)
    body = orjson.dumps(vectors, option=orjson.OPT_SERIALIZE_NUMPY)
    return web.Response(body=body, headers=JSON | OF_TEI)


async def rerank(request: web.Request) -> web.Response:
    """POST /rerank: an array of `{"index", "score", "text"?}`, best first."""
    server = request.app[SERVER]
    name = request.match_info.get("model")
    model = server.embedder(name) if name else server.reranker or server.embedder(None)
    wanted = parse_rerank(await _read_json(request), server.max_batch)
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
    return web.Response(body=orjson.dumps(ranks), headers=JSON | OF_TEI)


async def chat_completions(request: web.Request) -> web.StreamResponse:
    """POST /v1/chat/completions: llama.cpp's answer, passed on as it arrives."""
    chat = request.app[SERVER].chat
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
    """GET /info: see ModelServer.info."""
    body = request.app[SERVER].info(request.match_info.get("model"))
    return web.Response(body=orjson.dumps(body), headers=JSON)


async def health(_: web.Request) -> web.Response:
    """GET /health: always 200, because the server listens only after loading every model."""
    return web.Response()
