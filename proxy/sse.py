"""Server-sent events: reading a provider's stream, writing ours.

Source: the HTML standard, section 9.2 "Server-sent events". Elasticsearch writes a byte order mark
before each event, which standard parsers read as part of the field name: we write none.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024


class EventTooLarge(Exception):
    """A provider sent an event without end."""


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event as it was read."""

    data: str
    event: str = "message"


def encode_event(data: bytes, event: bytes = b"message") -> bytes:
    """One event for the wire; `?pretty` makes `data` several lines, written as they are."""
    return b"event: %b\ndata: %b\n\n" % (event, data)


DONE: Final = encode_event(b"[DONE]")


class EventDecoder:
    """Turns chunks of bytes, cut anywhere, into events; does no I/O."""

    def __init__(self) -> None:
        self._text = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._tail: list[str] = []  # the pieces of a line that has not ended
        self._after_return = False  # the last line ended in CR, so a leading LF belongs to it
        self._started = False
        self._data: list[str] = []
        self._event = ""
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """Yield the events that `chunk` completes; it may hold half a line, or three events.

        Raises: EventTooLarge.
        """
        self._size += len(chunk)
        for line in self._lines(self._text.decode(chunk)):
            if line:
                self._field(line)
            else:
                self._size = 0
                if self._data:
                    yield ServerSentEvent("\n".join(self._data), self._event or "message")
                self._data, self._event = [], ""
        if self._size > MAX_EVENT_BYTES:
            raise EventTooLarge

    def _lines(self, text: str) -> Iterator[str]:
        """The complete lines in `text`; they end in LF, CR or CRLF."""
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
