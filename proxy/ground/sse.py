"""Server-sent events: reads those of providers, writes ours.

Elasticsearch writes a byte order mark before each event, which standard parsers take for a part of
the field name; we write none.
Source: the HTML standard, section 9.2 "Server-sent events".
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import Final, NamedTuple

MAX_EVENT_BYTES: Final = 1024 * 1024  # a hundred times what a model says at once
_MAX_KEPT: Final = 64 * 1024  # characters of what is no event
_SHORT: Final = 64 * 1024  # bytes of a line
_MAX_NAME: Final = 256  # bytes kept of an event's name


class EventTooLarge(Exception):
    """A provider sends an event of more than MAX_EVENT_BYTES."""


class ServerSentEvent(NamedTuple):
    """One event of a stream; several `data` lines are joined by line feeds."""

    data: str
    event: str = "message"


def encode_event(data: bytes, event: bytes = b"message") -> bytes:
    """The bytes of one event; `data` is not split at line feeds, which `?pretty` puts into it."""
    return b"event: %b\ndata: %b\n\n" % (event, data)


DONE: Final = encode_event(b"[DONE]")
HEARTBEAT: Final = b": heartbeat\n\n"  # a comment


class EventDecoder:
    """Reads events from a stream that arrives in chunks cut anywhere.

    A line `error: {…}`, as llama.cpp ends its streams, is an event `error` with that data. A byte
    order mark may begin any line: Elasticsearch writes one before each event.
    """

    def __init__(self) -> None:
        self._tail = bytearray()  # of the line that has not ended yet
        self._after_return = False  # the last line ended in CR: a leading LF belongs to it
        self._data: bytearray | None = None  # each line with a line feed behind it
        self._event = ""
        self._strange: list[str] = []  # lines since the last event that are no field of one
        self._strange_size = 0  # characters

    @property
    def held(self) -> int:
        """Bytes kept of an event that has not ended yet."""
        return len(self._tail) + len(self._data or b"")

    def end(self) -> None:
        """Nothing more comes: take what is left for a line."""
        line, self._tail = bytes(self._tail), bytearray()
        if line:
            self._field(line)

    @property
    def left(self) -> str:
        """What has come since the last event, as far as it is kept: it may be no stream at all."""
        return "\n".join([*self._strange, self.unfinished.data]).strip()[:_MAX_KEPT]

    @property
    def unfinished(self) -> ServerSentEvent:
        """The event that no blank line has ended, as where a server has died amid it."""
        data = _text((self._data or b"")[:_MAX_KEPT]).strip()
        return ServerSentEvent(data, self._event or "message")

    @property
    def strange(self) -> str:
        """The lines since the last event that are no field of one."""
        return "\n".join(self._strange)

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """The events that `chunk` completes. Raises: EventTooLarge."""
        for line in self._lines(chunk):
            if line:
                if self._data is None and line.startswith(b"data: ") and len(line) <= _SHORT:
                    self._data = bytearray(line[6:] + b"\n")  # as `_field` does, for most lines
                else:
                    self._field(line)
            else:
                if self._data is not None:
                    data = _text(self._data[:-1])
                    self._data = None
                    yield ServerSentEvent(data, self._event or "message")
                    if self._strange:
                        self._strange, self._strange_size = [], 0
                self._event = ""
        self._refuse_too_large()

    def _lines(self, chunk: bytes) -> list[bytes]:
        """The lines that `chunk` completes, without their LF, CR or CRLF."""
        if self._after_return and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_return = False
        if chunk:
            self._after_return = chunk.endswith(b"\r")
        lines = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._tail += lines[0]
        if len(lines) == 1:
            return []
        lines[0] = bytes(self._tail)
        self._tail = bytearray(lines.pop())
        return lines

    def _field(self, line: bytes) -> None:
        line = line.removeprefix(codecs.BOM_UTF8)
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name.lower():
            case b"data":
                self._data = self._data or bytearray()
                self._data += value + b"\n"
                self._refuse_too_large()
            case b"event":
                self._event = _text(value[:_MAX_NAME])
            case b"error" if value.startswith(b"{"):
                self._data, self._event = bytearray(value + b"\n"), "error"
            case b"" | b"id" | b"retry" | b"[done]":
                pass  # a comment; what is not needed; an end that some forget to call data
            case _ if self._strange_size < _MAX_KEPT:
                self._strange.append(_text(line[:_MAX_KEPT]))
                self._strange_size += len(self._strange[-1]) + 1

    def _refuse_too_large(self) -> None:
        if self.held > MAX_EVENT_BYTES:
            raise EventTooLarge


def _text(data: bytes | bytearray) -> str:
    return data.decode(errors="replace")
