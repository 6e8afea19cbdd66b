"""The request bodies and error answers of Hugging Face's text-embeddings-inference (TEI).

Source: router/src/http/types.rs and server.rs of TEI 1.9.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

MAX_BODY: Final = 2_000_000  # bytes
TITLES: Final = {
    400: "Failed to parse the request body as JSON",
    422: "Failed to deserialize the JSON body into the target type",
}


class Refused(Exception):
    """A request that is answered by an error; without an `error_type`, in plain text."""

    def __init__(self, status: int, text: str, error_type: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.error_type = error_type

    def body(self) -> bytes:
        if self.error_type is None:
            return self.text.encode()
        return orjson.dumps({"error": self.text, "error_type": self.error_type})


class Invalid(Refused):
    """The body has the right form, but values that cannot be served."""

    def __init__(self, text: str) -> None:
        super().__init__(422, text, "Validation")


class Empty(Refused):
    """There is nothing to compute."""

    def __init__(self, name: str) -> None:
        super().__init__(400, f"`{name}` cannot be empty", "Empty")


class BackendFailed(Refused):
    """The model failed."""

    def __init__(self, text: str) -> None:
        super().__init__(424, text, "Backend")


class Overloaded(Refused):
    """Too many requests at the same time."""

    def __init__(self) -> None:
        super().__init__(429, "Model is overloaded", "Overloaded")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedRequest:
    inputs: list[str]
    truncate: bool
    normalize: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankRequest:
    query: str
    texts: list[str]
    truncate: bool
    raw_scores: bool
    return_text: bool


def parse_embed(body: bytes, max_batch: int) -> EmbedRequest:
    """Read the body of POST /embed; `inputs` is one text or a list of them.

    Raises: Refused.
    """
    fields = _fields(body)
    inputs = _required(fields, "inputs")
    texts = [inputs] if isinstance(inputs, str) else _texts(inputs, "inputs")
    _check_batch(texts, "inputs", max_batch)
    if "" in texts:
        raise Empty("inputs")
    return EmbedRequest(
        inputs=texts,
        truncate=_flag(fields, "truncate", True),
        normalize=_flag(fields, "normalize", True),
    )


def parse_rerank(body: bytes, max_batch: int) -> RerankRequest:
    """Read the body of POST /rerank.

    Raises: Refused.
    """
    fields = _fields(body)
    query = _required(fields, "query")
    if not isinstance(query, str):
        raise _mistyped("query: expected a string")
    texts = _texts(_required(fields, "texts"), "texts")
    _check_batch(texts, "texts", max_batch)
    if not query and "" in texts:
        raise Empty("inputs")
    return RerankRequest(
        query=query,
        texts=texts,
        truncate=_flag(fields, "truncate", True),
        raw_scores=_flag(fields, "raw_scores", False),
        return_text=_flag(fields, "return_text", False),
    )


def _fields(body: bytes) -> Mapping[str, Any]:
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(400, f"{TITLES[400]}: {error}") from error
    if not isinstance(fields, dict):
        raise _mistyped("expected an object")
    return fields


def _required(fields: Mapping[str, Any], name: str) -> Any:
    if name not in fields:
        raise _mistyped(f"missing field `{name}`")
    return fields[name]


def _texts(value: Any, name: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise _mistyped(f"{name}: expected strings")
    return value


def _flag(fields: Mapping[str, Any], name: str, default: bool) -> bool:
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise _mistyped(f"{name}: expected a boolean")
    return value


def _check_batch(texts: list[str], name: str, max_batch: int) -> None:
    if not texts:
        raise Empty(name)
    if len(texts) > max_batch:
        raise Invalid(f"batch size {len(texts)} > maximum allowed batch size {max_batch}")


def _mistyped(what: str) -> Refused:
    return Refused(422, f"{TITLES[422]}: {what}")
