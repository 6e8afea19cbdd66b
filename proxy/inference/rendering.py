"""Endpoints as callers see them."""

from __future__ import annotations

from dataclasses import asdict

from proxy.inference.chunking import render_chunking
from proxy.inference.endpoints import InferenceEndpoint
from proxy.xcontent.values import Json


def render_endpoint(endpoint: InferenceEndpoint) -> Json:
    """What callers see, keys in Elasticsearch's order; the token is never among them.

    Source: ModelConfigurations.toFilteredXContent.
    """
    settings = endpoint.service_settings
    shown: Json = {
        "model_id": settings.model_id,
        "url": settings.url,
        "similarity": settings.similarity,
        "dimensions": settings.dimensions,
        "max_input_tokens": settings.max_input_tokens,
        "rate_limit": {"requests_per_minute": settings.requests_per_minute},
    }
    body: Json = {
        "inference_id": endpoint.inference_id,
        "task_type": endpoint.task_type,
        "service": endpoint.service,
        "service_settings": _present(shown),
    }
    if task_settings := _present(asdict(endpoint.task_settings)):
        body["task_settings"] = task_settings
    if endpoint.chunking_settings is not None:
        body["chunking_settings"] = render_chunking(endpoint.chunking_settings)
    return body


def _present(values: Json) -> Json:
    return {key: value for key, value in values.items() if value is not None}
