"""Server-sent events: reads those of providers, writes ours.

Elasticsearch writes a byte order mark before each event, which standard parsers take for a part of
the field name; we write none.
Source: the HTML standard, section 9.2 "Server-sent events".
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
_MAX_KEPT: Final = 64 * 1024  # characters of what is no event


class EventTooLarge(Exception):
    """A provider sends an event of more than MAX_EVENT_BYTES."""


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event of a stream; several `data` lines are joined by line feeds."""

    data: str
    event: str = "message"


def encode_event(data: bytes, event: bytes = b"message") -> bytes:
    """The bytes of one event; `data` is not split at line feeds, which `?pretty` puts into it."""
    return b"event: %b\ndata: %b\n\n" % (event, data)


DONE: Final = encode_event(b"[DONE]")


class EventDecoder:
    """Reads events from a stream that arrives in chunks cut anywhere.

    A line `error: {…}`, as llama.cpp ends its streams, is an event `error` with that data.
    """

    def __init__(self) -> None:
        self._text = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._tail: list[str] = []  # pieces of the line that has not ended yet
        self._after_return = False  # the last line ended in CR: a leading LF belongs to it
        self._started = False
        self._data: list[str] = []
        self._event = ""
        self._size = 0  # bytes since the last event
        self._strange: list[str] = []  # lines since the last event that are no field of one
        self._strange_size = 0  # characters

    @property
    def left(self) -> str:
        """What has come since the last event, as far as it is kept: it may be no stream at all."""
        left = "\n".join([*self._strange, *self._data, "".join(self._tail)])
        return left.strip()[:_MAX_KEPT]

    @property
    def strange(self) -> str:
        """The lines since the last event that are no field of one."""
        return "\n".join(self._strange)

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """The events that `chunk` completes. Raises: EventTooLarge."""
        self._size += len(chunk)
        for line in self._lines(self._text.decode(chunk)):
            if line:
                self._field(line)
            else:
                self._size = 0
                if self._data:
                    yield ServerSentEvent("\n".join(self._data), self._event or "message")
                    self._strange, self._strange_size = [], 0
                self._data, self._event = [], ""
        if self._size > MAX_EVENT_BYTES:
            raise EventTooLarge

    def _lines(self, text: str) -> Iterator[str]:
        """The lines that `text` completes, without their LF, CR or CRLF."""
        if not text:
            return
        if not self._started:
            self._started, text = True, text.removeprefix("\ufeff")
        if self._after_return:
            text = text.removeprefix("\n")
            self._after_return = False
        if text:
            self._after_return = text.endswith("\r")
        first, *others = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._tail.append(first)
        for line in others:
            yield "".join(self._tail)
            self._tail = [line]

    def _field(self, line: str) -> None:
        name, colon, value = line.partition(":")
        if colon and not name:
            return  # a comment
        value = value.removeprefix(" ")
        match name.lower():
            case "data":
                self._data.append(value)
            case "event":
                self._event = value
            case "error" if value.startswith("{"):
                self._data, self._event = [value], "error"
            case "id" | "retry":
                pass
            case _ if self._strange_size < _MAX_KEPT:
                self._strange.append(line[:_MAX_KEPT])
                self._strange_size += len(self._strange[-1]) + 1
