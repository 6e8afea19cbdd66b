"""Endpoints as documents for a store, token included."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

import orjson

from proxy.ground.errors import ValidationFailed
from proxy.inference.chunking import ChunkingSettings
from proxy.inference.endpoints import (
    InferenceEndpoint,
    SecretSettings,
    ServiceSettings,
    TaskSettings,
    TaskType,
)
from proxy.inference.fingerprints import Fingerprint, Model
from proxy.inference.ids import check_storable_id
from proxy.xcontent.values import Json
from proxy.xcontent.weighing import weight

# Of the settings of one endpoint, as JSON: a hundred times what any needs, and little enough for
# every process to keep many, and to list them all.
MAX_STORED_BYTES: Final = 64 * 1024
_MAX_GIVEN: Final = 4 * MAX_STORED_BYTES  # before anything is looked at; names count, too


def dump_endpoint(endpoint: InferenceEndpoint) -> dict[str, Any]:
    """The stored form. The token is in it: it is only ever written sealed."""
    document = asdict(endpoint)
    del document["revision"]  # of the record, which is only being made
    if endpoint.fingerprint is None:
        del document["fingerprint"]
    elif not endpoint.fingerprint.alarms:
        del document["fingerprint"]["alarms"]
    return document


def check_size(settings: Json) -> None:
    """Raises: ValidationFailed for far more than can be stored, which takes long to look at."""
    if weight(settings, _MAX_GIVEN) > _MAX_GIVEN:
        most = f"of [{MAX_STORED_BYTES}] that can be stored"
        raise ValidationFailed([f"the settings take more than [{_MAX_GIVEN}] bytes, {most}"])


def check_storable(endpoint: InferenceEndpoint) -> None:
    """Raises: ActionRequestInvalid for an id that is too long; ValidationFailed for settings."""
    check_storable_id(endpoint.inference_id)
    try:
        text = orjson.dumps(dump_endpoint(endpoint))
    except orjson.JSONEncodeError:  # lone surrogates, which JSON can only hold as escapes
        raise ValidationFailed(["the settings must be valid Unicode"]) from None
    if len(text) > MAX_STORED_BYTES:
        raise ValidationFailed(
            [f"the settings take [{len(text)}] bytes, of [{MAX_STORED_BYTES}] that can be stored"]
        )


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
        fingerprint=_fingerprint(document.get("fingerprint")),
    )


def _fingerprint(value: dict[str, Any] | None) -> Fingerprint | None:
    return None if value is None else Fingerprint(**{**value, "model": Model(**value["model"])})
