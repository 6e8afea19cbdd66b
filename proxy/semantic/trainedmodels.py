"""`_ml/trained_models/<id>/_infer` for an endpoint of the proxy, as clients and LangChain call it.

Both embed texts with it, and find out with it whether there is a model of that name.
Source: RestInferTrainedModelAction, TextEmbeddingConfig, model_must_be_deployed of the clients.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from proxy.ground.errors import IllegalArgument
from proxy.limits.deadline import Deadline
from proxy.semantic.exchange import Exchange
from proxy.semantic.modelsettings import TASKS
from proxy.xcontent.times import parse_time

_FIELD: Final = "text_field"  # of documents, the text
_TIME: Final = "10s"  # unless the request says otherwise


async def infer(exchange: Exchange) -> web.StreamResponse:
    """What an endpoint makes of the texts of documents; other models are the upstream's."""
    parts = exchange.parts
    endpoint = await parts.endpoints.find(exchange.names["model_id"])
    if endpoint is None or endpoint.task_type not in TASKS:
        return await exchange.hand_on()
    await parts.guard.check_inference(exchange.request)
    texts = _texts(await exchange.document())
    seconds = parse_time(exchange.rest.parameters.get("timeout", _TIME), "timeout")
    values = await parts.endpoints.infer(endpoint, texts, Deadline.after(seconds))
    found = [{"predicted_value": value} for value in values]
    return await exchange.made(200, {"inference_results": found})


def _texts(body: Any) -> list[str]:
    documents = body.get("docs") if isinstance(body, Mapping) else None
    if not isinstance(documents, list) or not documents:
        raise IllegalArgument("[docs] must be a list of documents")
    texts = []
    for document in documents:
        text = document.get(_FIELD) if isinstance(document, Mapping) else None
        if not isinstance(text, str):
            raise IllegalArgument(f"Input field [{_FIELD}] does not exist in the source document")
        texts.append(text)
    return texts
