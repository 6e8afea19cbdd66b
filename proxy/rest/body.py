"""The body of a request: its bytes, and the document in them. Source: RestRequest."""

from __future__ import annotations

from typing import Final

from proxy.ground.errors import IllegalArgument, ParseFailed, PlainError
from proxy.rest.mediatypes import check_versions
from proxy.rest.request import RestRequest
from proxy.xcontent.document import Bounds, Document
from proxy.xcontent.formats import QUICKLY_READ, parse
from proxy.xcontent.values import Json


class Body:
    """The body of one request.

    `raw` is the body as it came, for the upstream, None once it is forgotten; `data` the same
    without its content coding.
    """

    def __init__(self, request: RestRequest, raw: bytes, data: bytes, bounds: Bounds) -> None:
        self._request = request
        sent = request.content_type
        self._format = (sent and sent.format) or "json"
        self.bounds: Final = bounds
        self.raw: bytes | None = raw
        self.data = data

    @property
    def is_json(self) -> bool:
        """Whether it is to be read as JSON."""
        return self._format == "json"

    @property
    def quickly_read(self) -> int:
        """How many bytes can be read in this format while others wait."""
        return QUICKLY_READ[self._format]

    def check_content_type(self, major: int) -> None:
        """Whether it can be read; `major` is the version of the API that is served.

        Raises: PlainError 406 for a content type that is not supported; MediaTypeRejected for
        versions that are unknown or differ from those in `Accept`.
        """
        sent = self._request.content_type
        check_versions(self._request.accept, sent, bool(self.data), major)
        if self.data and (sent is None or sent.format is None):
            shown = self._request.headers.get("Content-Type", "")
            raise PlainError(406, f"Content-Type header [{shown}] is not supported")

    def require(self) -> None:
        if not self.data:
            raise ParseFailed("request body is required")

    def refuse(self) -> None:
        if self.data:
            method, path = self._request.method, self._request.path
            raise IllegalArgument(f"request [{method} {path}] does not support having a body")

    def document(self, *, lone_surrogates: bool = False) -> Document:
        """What is in it; a syntax error is kept in the document. See `parse`."""
        return parse(self.data, self._format, self.bounds, lone_surrogates=lone_surrogates)

    def forget(self) -> None:
        """Let go of the bytes: aiohttp keeps the last request of an idle connection."""
        self.raw, self.data = None, b""


def as_map(document: Document) -> Json:
    """A configuration as a map; anything but an object counts as an empty one.

    Raises: the syntax error of a document that begins as an object.
    """
    if document.root is not None and document.root.kind != "START_OBJECT":
        return {}  # Elasticsearch reads no more of it than its first token
    return document.plain() or {}
