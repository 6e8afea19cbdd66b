"""Whether the upstream has an inference feature of its own, as its answers tell."""

from __future__ import annotations

import zlib
from typing import Final

import orjson

REFUSAL_LIMIT: Final = 65536  # bytes of an answer that are looked into


def lacks_inference(body: bytes, coding: str | None) -> bool:
    """Whether an error is what an Elasticsearch without the inference plugin says to `_inference`.

    coding: the answer's Content-Encoding.
    Source: RestController.handleBadRequest, handleUnsupportedHttpMethod. Where such an
    Elasticsearch has a route for index names, it takes `_inference` for one.
    """
    if coding == "gzip":
        try:
            body = zlib.decompressobj(47).decompress(body, REFUSAL_LIMIT)
        except zlib.error:
            return False
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        # YAML, CBOR and Smile hold texts as they are.
        return b"no handler found for uri [/_inference" in body
    error = document.get("error") if isinstance(document, dict) else None
    if isinstance(error, str):
        return error.startswith(("no handler found for uri [", "Incorrect HTTP method for uri ["))
    return (
        isinstance(error, dict)
        and error.get("type") in ("invalid_index_name_exception", "index_not_found_exception")
        and error.get("index") == "_inference"
    )
