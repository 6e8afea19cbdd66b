"""Endpoints as documents for a store, token included."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from proxy.inference.chunking import ChunkingSettings
from proxy.inference.endpoints import (
    InferenceEndpoint,
    SecretSettings,
    ServiceSettings,
    TaskSettings,
    TaskType,
)


def dump_endpoint(endpoint: InferenceEndpoint) -> dict[str, Any]:
    """The stored form. The token is in it: it is only ever written sealed."""
    return asdict(endpoint)


def load_endpoint(document: dict[str, Any]) -> InferenceEndpoint:
    """Read back what `dump_endpoint` wrote.

    Raises: KeyError, TypeError or ValueError when the document is something else.
    """
    chunking = document["chunking_settings"]
    if chunking is not None and chunking["separators"] is not None:
        chunking = {**chunking, "separators": tuple(chunking["separators"])}
    return InferenceEndpoint(
        inference_id=document["inference_id"],
        task_type=TaskType(document["task_type"]),
        service=document["service"],
        service_settings=ServiceSettings(**document["service_settings"]),
        secret_settings=SecretSettings(**document["secret_settings"]),
        task_settings=TaskSettings(**document["task_settings"]),
        chunking_settings=None if chunking is None else ChunkingSettings(**chunking),
    )
