"""Answers in the form that the caller of a request wants: format, filter, content coding.

Source: RestResponse, AbstractRestChannel, XContentType.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from multidict import CIMultiDict

from proxy.ground.errors import IllegalArgument, ProxyError
from proxy.ground.sse import encode_event
from proxy.rest.codings import StreamCoding, coding_of_answer, compressed
from proxy.rest.parameters import read_boolean
from proxy.rest.request import RestRequest
from proxy.xcontent.filterpath import Filter
from proxy.xcontent.formats import WRITERS
from proxy.xcontent.values import Json
from proxy.xcontent.weighing import weight
from proxy.xcontent.writing import dump_light, dump_pretty

_EVENTS: Final = "text/event-stream"
_TEXT: Final = "text/plain; charset=UTF-8"


@dataclass(slots=True)
class RestResponse:
    """A complete answer, its body encoded."""

    status: int
    headers: CIMultiDict[str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorShape:
    """How callers are shown errors: `shown` gives the error to print instead, or the same."""

    shown: Callable[[ProxyError], ProxyError] = lambda error: error
    is_event: bool = False  # a server-sent event, not a document


DOCUMENT: Final = ErrorShape()
EVENT: Final = ErrorShape(is_event=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Responder:
    """Encodes the answers to requests with the same head."""

    format: str  # a key of WRITERS
    content_type: str
    pretty: bool
    filter: Filter | None
    coding: str | None
    opaque_id: str | None
    shows_traces: bool
    error_shape: ErrorShape = DOCUMENT

    def shaping(self, errors: ErrorShape) -> Responder:
        """One that shows errors in that shape."""
        return self if errors is self.error_shape else replace(self, error_shape=errors)

    # Documents

    def document(self, status: int, body: Any, *, is_light: bool = False) -> RestResponse:
        """An answer with a body, as of `work` known to be light. Errors ignore `filter_path`."""
        data = self._encoded(body, filtered=status < 300, is_light=is_light)
        return self._response(status, data, self.content_type)

    def ready(self, status: int, body: bytes) -> RestResponse:
        """An answer whose body is in its format already."""
        return self._response(status, body, self.content_type)

    def document_headers(self, status: int) -> CIMultiDict[str]:
        """The headers of an answer whose body is encoded elsewhere, and not compressed."""
        return self._headers(status, self.content_type)

    def error(self, error: ProxyError) -> RestResponse:
        """The answer that shows an error."""
        body = self.envelope(error)
        if self.error_shape.is_event:
            data = encode_event(self._encoded(body), b"error")
            answer = self._response(error.status, data, _EVENTS)
        else:
            answer = self.document(error.status, body)
        answer.headers.update(CIMultiDict(error.headers))
        return answer

    def envelope(self, error: ProxyError) -> Json:
        """The body that shows an error."""
        shown = self.error_shape.shown(error)
        return shown.envelope(f"{shown.type}: {shown.reason}" if self.shows_traces else None)

    def empty(self) -> RestResponse:
        """200 without a body."""
        return self._response(200, b"", _TEXT)

    # Events

    def stream_headers(self) -> CIMultiDict[str]:
        return self._headers(200, _EVENTS)

    def stream_coding(self) -> StreamCoding | None:
        """The content coding of a stream, if the caller accepts one."""
        return None if self.coding is None else StreamCoding(self.coding)

    def event(self, body: Json, *, is_light: bool = False) -> bytes:
        return encode_event(self._encoded(body, is_light=is_light))

    def error_event(self, error: ProxyError) -> bytes:
        """The event that ends a stream; it has no trace."""
        return encode_event(self._encoded(self.error_shape.shown(error).envelope()), b"error")

    # Encoding

    def work(self, body: Any, most: int) -> int:
        """About how many bytes must be looked at to encode a body; counted up to `most`."""
        times = 1 if self.filter is None else 1 + self.filter.wildcards
        return weight(body, most // times) * times

    def _encoded(self, body: Any, *, filtered: bool = True, is_light: bool = False) -> bytes:
        if filtered and self.filter is not None:
            body = self.filter.apply(body)
        if self.format == "json" and self.pretty:
            return dump_pretty(body)
        if self.format == "json" and is_light:
            return dump_light(body)
        return WRITERS[self.format](body)

    def _response(self, status: int, data: bytes, content_type: str) -> RestResponse:
        headers = self._headers(status, content_type)
        if data and self.coding is not None:
            headers["content-encoding"] = self.coding
            data = compressed(data, self.coding)
        return RestResponse(status, headers, data)

    def _headers(self, status: int, content_type: str) -> CIMultiDict[str]:
        """The headers of every answer; refused callers do not learn the product's name."""
        headers: CIMultiDict[str] = CIMultiDict()
        if status not in (401, 403):
            headers["X-elastic-product"] = "Elasticsearch"
        if self.opaque_id is not None:
            headers["X-Opaque-Id"] = self.opaque_id
        headers["content-type"] = content_type
        return headers


def responder_for(request: RestRequest) -> Responder:
    """The responder to a request, whatever is wrong with it."""
    format = _format(request)
    return Responder(
        format=format,
        content_type=_content_type(request, format),
        pretty=_flag(request, "pretty"),
        filter=request.filter,
        coding=coding_of_answer(request.headers),
        opaque_id=request.headers.get("X-Opaque-Id"),
        shows_traces=_flag(request, "error_trace"),
    )


def _format(request: RestRequest) -> str:
    """The parameter `format` comes before `Accept`, and that before the type of the body."""
    named = request.parameters.get("format", "").lower()
    if named in WRITERS:
        return named
    for media_type in (request.accept, request.content_type):
        if media_type is not None and media_type.format is not None:
            return media_type.format
    return "json"


def _content_type(request: RestRequest, format: str) -> str:
    accept, sent = request.accept, request.content_type
    if accept is not None and accept.format is not None:
        echo = accept.echo.replace("x-ndjson", "json")
        return echo if accept.format == format else f"application/{format}"
    vendor = "vnd.elasticsearch+" if sent and sent.vendor and sent.format == format else ""
    return f"application/{vendor}{format}"


def _flag(request: RestRequest, name: str) -> bool:
    """A boolean parameter; a value that is none counts as false."""
    try:
        return read_boolean(request.parameters, name)
    except IllegalArgument:
        return False
