"""Errors of the semantic layer, as Elasticsearch's own exceptions of these names."""

from __future__ import annotations

from proxy.errors import ProxyError


class MapperParsingFailed(ProxyError):
    """A mapping that cannot be read."""

    status = 400
    type = "mapper_parsing_exception"


def unparsable(error: ProxyError) -> MapperParsingFailed:
    """The error for a whole mapping that holds something which `error` refuses."""
    return MapperParsingFailed(f"Failed to parse mapping: {error.reason}", cause=error)


class InferenceFailed(ProxyError):
    """The texts of a document's field could not be embedded; the status is that of the cause."""

    type = "inference_exception"

    def __init__(self, inference_id: str, path: str, cause: ProxyError) -> None:
        super().__init__(
            f"Exception when running inference id [{inference_id}] on field [{path}]", cause=cause
        )
        self.status = cause.status
        self.headers = cause.headers
