"""The bodies of calls.

Source: HuggingFaceEmbeddingsRequestEntity, HuggingFaceElserRequestEntity,
HuggingFaceRerankRequestEntity, HuggingFaceUnifiedChatCompletionRequestEntity.
"""

from __future__ import annotations

from proxy.huggingface.batching import Batch
from proxy.inference.chat import ChatRequest
from proxy.inference.endpoints import InferenceEndpoint
from proxy.xcontent.values import Json


def embedding_body(batch: Batch) -> Json:
    return {"inputs": batch.contents}


def rerank_body(
    batch: Batch, query: str, *, top_n: int | None, return_documents: bool | None
) -> Json:
    options = {"return_text": return_documents, "top_n": top_n}
    kept = {key: value for key, value in options.items() if value is not None}
    return {"texts": batch.contents, "query": query, **kept}


def completion_body(endpoint: InferenceEndpoint, text: str, *, stream: bool) -> Json:
    body: Json = {"messages": [{"content": text, "role": "user"}]}
    if endpoint.service_settings.model_id is not None:
        body["model"] = endpoint.service_settings.model_id
    return {**body, **_stream_options(stream)}


def chat_body(endpoint: InferenceEndpoint, request: ChatRequest, *, stream: bool) -> Json:
    optional = {
        "stop": request.stop,
        "temperature": request.temperature,
        "tool_choice": request.tool_choice,
        "tools": request.tools,
        "top_p": request.top_p,
        "max_tokens": request.max_completion_tokens,
        "model": request.model or endpoint.service_settings.model_id,
        "reasoning": request.reasoning,
    }
    kept = {key: value for key, value in optional.items() if value not in (None, [])}
    return {"messages": request.messages, **kept, **_stream_options(stream)}


def _stream_options(stream: bool) -> Json:
    options: Json = {"n": 1, "stream": stream}
    if stream:
        options["stream_options"] = {"include_usage": True}
    return options
