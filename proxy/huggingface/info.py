"""What a server says about itself: the reply to `GET /info` of text-embeddings-inference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson
from yarl import URL

_MOST: Final = 10_000_000  # no server takes as many inputs, or tokens of one
_LONGEST: Final = 200  # characters of a model's name
# What may follow the root in the URL of an endpoint, the longest first.
_ROUTES: Final = (
    "/v1/embeddings",
    "/embed_sparse",
    "/invocations",
    "/embeddings",
    "/embed_all",
    "/predict",
    "/rerank",
    "/embed",
)
# Hosts that many models share, where nobody serves `/info`.
_SHARED: Final = ("router.huggingface.co", "api-inference.huggingface.co")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """The model that is served, and what is taken; None for what the server does not say."""

    model_id: str
    model_sha: str | None = None  # the revision, where one was asked for
    max_inputs: int | None = None  # of one call
    max_tokens: int | None = None  # of one input
    truncates: bool | None = None  # whether it cuts longer inputs itself

    def __str__(self) -> str:
        """For the log."""
        text = f"[{self.model_id}]"
        if self.model_sha is not None:
            text += f" of revision [{self.model_sha}]"
        if self.max_inputs is not None:
            text += f", {self.max_inputs} inputs in a call"
        if self.max_tokens is not None:
            text += f", {self.max_tokens} tokens in an input"
        if self.truncates is not None:
            text += f", longer ones are {'cut' if self.truncates else 'refused'}"
        return text


def info_url(url: str) -> URL | None:
    """Where the server of an endpoint would tell about itself; None if it certainly does not.

    The path is that beside the route: `/e5/embed` and `/e5` both lead to `/e5/info`.
    """
    where = URL(url.partition("#")[0], encoded=url.isascii())
    if where.host in _SHARED:
        return None
    path = where.raw_path.rstrip("/")
    for route in _ROUTES:
        if path.endswith(route):
            path = path.removesuffix(route)
            break
    return where.with_path(f"{path}/info", encoded=True, keep_query=True)


def parse_info(data: bytes) -> ServerInfo | None:
    """What the reply says; None for anything but the answer of such a server."""
    try:
        fields = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(fields, dict) or (model_id := _name(fields.get("model_id"))) is None:
        return None
    truncates = fields.get("auto_truncate")
    return ServerInfo(
        model_id=model_id,
        model_sha=_name(fields.get("model_sha")),
        max_inputs=_count(fields.get("max_client_batch_size")),
        max_tokens=_count(fields.get("max_input_length")),
        truncates=truncates if isinstance(truncates, bool) else None,
    )


def _name(value: Any) -> str | None:
    is_name = isinstance(value, str) and 0 < len(value) <= _LONGEST and value.isprintable()
    return value if is_name else None


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 < value <= _MOST else None
