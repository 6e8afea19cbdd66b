"""One request as Elasticsearch's REST layer sees it: parameters, media types, body. No I/O.

A request is read whole before anything is refused, because authentication comes first: what is
wrong with it is remembered and raised in Elasticsearch's order.
Source: RestRequest, RestController, BaseRestHandler.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote_plus

from multidict import CIMultiDict, CIMultiDictProxy

from proxy.errors import BadParameter, IllegalArgument, ParseFailed, PlainError, ProxyError
from proxy.rest.mediatypes import MediaType, check_versions, media_type
from proxy.rest.response import RestResponse, StreamCoding
from proxy.xcontent.document import Bounds, Document
from proxy.xcontent.filterpath import filter_paths
from proxy.xcontent.formats import WRITERS, parse
from proxy.xcontent.suggestions import did_you_mean
from proxy.xcontent.times import parse_time
from proxy.xcontent.values import parse_boolean
from proxy.xcontent.writing import dump_pretty

_COMMON_PARAMETERS: Final = ("pretty", "human", "error_trace", "filter_path", "format")
_ENCODINGS: Final = ("gzip", "x-gzip", "deflate", "x-deflate")
_PIECE: Final = 1024 * 1024  # bytes
_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


class RestRequest:
    """One request as Elasticsearch's REST layer sees it.

    `target` is the raw target as it was sent; it appears in messages undecoded. Of the API's
    versions, `major` and the one before it may be asked for.
    """

    def __init__(
        self, method: str, target: str, headers: CIMultiDictProxy[str], *, major: int = 9
    ) -> None:
        self._major = major
        self.method = method
        self.target = target
        self.headers = headers
        self.problem: ProxyError | None = None  # raised after authentication
        self.body = b""
        self.raw_body: bytes | None = None  # as it came, once it has been read
        self.bounds: Bounds  # of the body; set before it is read
        self.values = 0  # in the body, once it has been read
        self.answers_events = False  # whether errors, too, are server-sent events from now on
        self.accept: MediaType | None = None
        self.content_type: MediaType | None = None
        self.path, _, query = target.partition("?")
        self.parameters: dict[str, str] = {}
        self._consumed: set[str] = set(_COMMON_PARAMETERS)
        self._remember(self._read_opaque_id)
        self._remember(self._read_media_types)
        self._remember(lambda: self._read_target(query))
        self._remember(self._read_error_trace)

    # Reading

    def _remember(self, step: Any) -> None:
        try:
            step()
        except ProxyError as error:
            self.problem = self.problem or error

    def _read_opaque_id(self) -> None:
        if len(self.headers.getall("X-Opaque-Id", [])) > 1:
            raise IllegalArgument("multiple values for single-valued header [X-Opaque-Id].")

    def _read_media_types(self) -> None:
        self.accept = media_type(self.headers, "Accept")
        self.content_type = media_type(self.headers, "Content-Type")

    def _read_target(self, query: str) -> None:
        if bad := _ESCAPE.search(self.path):
            escape = self.path[bad.start() : bad.start() + 3]
            raise IllegalArgument(
                f"invalid escape sequence `{escape}' at index {bad.start()} of: {self.path}"
            )
        for pair in query.split("&"):
            name, _, value = pair.partition("=")
            if bad := _ESCAPE.search(pair):
                reason = f"invalid escape sequence `{pair[bad.start() : bad.start() + 3]}'"
                reason += f" at index {bad.start()} of: {pair}"
                raise BadParameter(
                    f"java.lang.IllegalArgumentException: {reason}", cause=IllegalArgument(reason)
                )
            if name:
                self.parameters[unquote_plus(name)] = unquote_plus(value)

    def _read_error_trace(self) -> None:
        try:
            self.boolean("error_trace")
        except IllegalArgument as error:
            raise PlainError(400, error.reason) from None

    def segments(self) -> list[str]:
        """The raw parts of the path: routes are matched before anything is decoded."""
        parts = self.path.split("/")[1:]
        while parts and parts[-1] == "":
            parts.pop()
        return parts

    # Parameters

    def parameter(self, name: str) -> str | None:
        """A parameter's value, which is known from now on."""
        self._consumed.add(name)
        return self.parameters.get(name)

    def boolean(self, name: str) -> bool:
        """Absent is false, present without a value is true. Raises: IllegalArgument."""
        value = self.parameter(name)
        return value == "" or (value is not None and parse_boolean(value))

    def time(self, name: str) -> float | None:
        """A time value in seconds. Raises: IllegalArgument."""
        value = self.parameter(name)
        return None if value is None else parse_time(value, name)

    def refuse_unknown_parameters(self) -> None:
        """Raises: IllegalArgument naming each parameter that nobody asked for."""
        unknown = sorted(set(self.parameters) - self._consumed)
        if unknown:
            known = self._consumed - set(_COMMON_PARAMETERS)
            shown = [f"[{name}]{did_you_mean(name, known, ' -> ')}" for name in unknown]
            plural = "s" if len(unknown) > 1 else ""
            raise IllegalArgument(
                f"request [{self.path}] contains unrecognized parameter{plural}: {', '.join(shown)}"
            )

    # Body

    def is_encoded(self) -> bool:
        """Whether the body has an encoding; those that Elasticsearch does not know are none."""
        return self.headers.get("Content-Encoding", "").strip().lower() in _ENCODINGS

    def inflated(self, data: bytes) -> Iterator[bytes]:
        """An encoded body in plain, in pieces of 1 MiB at most.

        Raises: IllegalArgument for one that is not encoded as it says.
        """
        encoding = self.headers["Content-Encoding"]
        inflater = zlib.decompressobj(47)  # zlib or gzip, by its header
        while not inflater.eof:
            try:
                piece = inflater.decompress(data, _PIECE)
            except zlib.error:
                raise IllegalArgument(f"the body is not [{encoding}] encoded") from None
            data = inflater.unconsumed_tail
            if not piece and not data:
                raise IllegalArgument(f"the [{encoding}] encoded body is cut off")
            yield piece

    def take_body(self, body: bytes) -> None:
        """Accept the body, decoded.

        Raises: PlainError 406 for a content type that is not supported; MediaTypeRejected for
        versions that do not fit.
        """
        self.body = body
        check_versions(self.accept, self.content_type, bool(self.body), self._major)
        if self.body and (self.content_type is None or self.content_type.format is None):
            shown = self.headers.get("Content-Type", "")
            raise PlainError(406, f"Content-Type header [{shown}] is not supported")

    def forget_body(self) -> None:
        """Everything has been made of it; a connection remembers its last request."""
        self.body, self.raw_body = b"", None

    def require_body(self) -> None:
        if not self.body:
            raise ParseFailed("request body is required")

    def refuse_body(self) -> None:
        if self.body:
            raise IllegalArgument(
                f"request [{self.method} {self.path}] does not support having a body"
            )

    def document(self) -> Document:
        """The body, read; syntax errors are kept in it."""
        kind = self.content_type.format if self.content_type else None
        document = parse(self.body, kind or "json", self.bounds)
        self.values = document.values
        return document

    def body_map(self) -> dict[str, Any]:
        """A configuration as a map; anything but an object counts as an empty one."""
        document = self.document()
        if document.root is not None and document.root.kind != "START_OBJECT":
            return {}  # nothing of it is read but its first token
        return document.plain() or {}

    # Answers

    def encode(self, body: Any, *, filtered: bool = True) -> bytes:
        """`body` in the format that the caller wants, `pretty` and `filter_path` applied."""
        if filtered and (paths := self.parameters.get("filter_path")):
            body = filter_paths(body, paths)
        kind = self._format()
        if kind == "json" and self._flag("pretty"):
            return dump_pretty(body)
        return WRITERS[kind](body)

    def respond(self, status: int, body: Any) -> RestResponse:
        """The answer to this request. Errors ignore `filter_path`."""
        data = self.encode(body, filtered=status < 300)
        return self.respond_bytes(status, data, self._content_type())

    def respond_bytes(self, status: int, data: bytes, content_type: str) -> RestResponse:
        """The same for a body that is already encoded."""
        headers = self.response_headers(status, content_type)
        if data and (encoding := self._encoding()):
            headers["content-encoding"] = encoding
            data = gzip.compress(data, 3, mtime=0) if encoding == "gzip" else zlib.compress(data, 3)
        return RestResponse(status, headers, data)

    def stream_coding(self) -> StreamCoding | None:
        """How the caller wants a stream encoded, if at all."""
        encoding = self._encoding()
        return None if encoding is None else StreamCoding(encoding)

    def response_headers(self, status: int, content_type: str) -> CIMultiDict[str]:
        """What every answer carries; refused callers do not learn the product's name."""
        headers: CIMultiDict[str] = CIMultiDict()
        if status not in (401, 403):
            headers["X-elastic-product"] = "Elasticsearch"
        if (opaque_id := self.headers.get("X-Opaque-Id")) is not None:
            headers["X-Opaque-Id"] = opaque_id
        headers["content-type"] = content_type
        return headers

    def wants_trace(self) -> bool:
        return self._flag("error_trace")

    def _flag(self, name: str) -> bool:
        try:
            return self.boolean(name)
        except IllegalArgument:
            return False

    def _format(self) -> str:
        named = self.parameters.get("format", "").lower()
        if named in WRITERS:
            return named
        if self.accept is not None and self.accept.format is not None:
            return self.accept.format
        if self.content_type is not None and self.content_type.format is not None:
            return self.content_type.format
        return "json"

    def _content_type(self) -> str:
        kind = self._format()
        if self.accept is not None and self.accept.format is not None:
            echoed = self.accept.format == kind and "ndjson" not in self.accept.echo
            return self.accept.echo if echoed else f"application/{kind}"
        sent = self.content_type
        vendor = "vnd.elasticsearch+" if sent and sent.vendor and sent.format == kind else ""
        return f"application/{vendor}{kind}"

    def _encoding(self) -> str | None:
        accepted = set()
        for wish in self.headers.get("Accept-Encoding", "").lower().split(","):
            name, _, quality = wish.partition(";")
            if not re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", quality):
                accepted.add(name.strip())
        return next((name for name in ("gzip", "deflate") if name in accepted), None)
