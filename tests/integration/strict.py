"""A strict parser of HTTP/1.1 requests, which accepts only what is safe to forward."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

Headers = tuple[tuple[bytes, bytes], ...]

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_LINE: Final = re.compile(rb"([A-Z][A-Z_-]*) (/[!-\"$-~]*) HTTP/1\.([01])")
_HEADER: Final = re.compile(rb"(" + _TOKEN + rb"):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
_EXTENSION: Final = rb"(?:;" + _TOKEN + rb"(?:=(?:" + _TOKEN + rb'|"[ !#-\[\]-~]*"))?)*'
_CHUNK: Final = re.compile(rb"0*([0-9A-Fa-f]{1,15})" + _EXTENSION)
HOP_BY_HOP: Final = {
    *(b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"te", b"trailer"),
    *(b"proxy-authorization", b"transfer-encoding", b"upgrade", b"http2-settings"),
}
_ONCE: Final = {
    *(b"host", b"content-length", b"transfer-encoding", b"expect", b"authorization"),
    b"x-opaque-id",
}


class Refused(Exception):
    """The strict parser rejects the request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A request, without its framing."""

    method: bytes
    target: bytes
    headers: Headers  # end-to-end headers as sent, without Content-Length
    body: bytes
    last: bool  # whether it asks for the connection to be closed


def read_request(data: bytes) -> tuple[Message, bytes] | None:
    """The first request in `data`, and the rest; None if it is incomplete.

    Raises: Refused.
    """
    # RFC 9112 section 2.2 allows empty lines first; they cannot hide anything.
    head, end, rest = data.lstrip(b"\r\n").partition(b"\r\n\r\n")
    if not end:
        return None
    start, *lines = head.split(b"\r\n")
    line = _LINE.fullmatch(start)
    headers = [_HEADER.fullmatch(text) for text in lines]
    if line is None or None in headers:
        raise Refused("head")
    pairs = [(match[1], match[2]) for match in headers if match]
    values = _judge(pairs, line[3] == b"1")
    if b"transfer-encoding" in values:
        read = _read_chunks(rest)
    else:
        length = int(values.get(b"content-length", b"0"))
        read = (rest[:length], rest[length:]) if len(rest) >= length else None
    if read is None:
        return None
    kept = tuple(p for p in pairs if p[0].lower() not in HOP_BY_HOP | {b"content-length"})
    if b"host" not in values:
        kept = ((b"Host", b""), *kept)
    options = {text.strip() for text in values.get(b"connection", b"").lower().split(b",")}
    last = b"close" in options if line[3] == b"1" else b"keep-alive" not in options
    message = Message(method=line[1], target=line[2], headers=kept, body=read[0], last=last)
    return message, read[1]


def _judge(pairs: list[tuple[bytes, bytes]], modern: bool) -> dict[bytes, bytes]:
    """The header values by name. Raises: Refused if they leave the end of the message unclear."""
    values: dict[bytes, bytes] = {}
    for name, value in pairs:
        key = name.lower()
        if key in values and key in _ONCE:
            raise Refused("twice")
        values[key] = values[key] + b"," + value if key in values else value
        try:
            value.decode()
        except UnicodeDecodeError:
            raise Refused("text") from None
    if b"host" not in values and modern:
        raise Refused("host")
    if not re.fullmatch(rb"\d{1,18}", values.get(b"content-length", b"0")):
        raise Refused("length")
    if b"transfer-encoding" in values:
        coding = values[b"transfer-encoding"].lower()
        if coding != b"chunked" or b"content-length" in values or not modern:
            raise Refused("coding")
    if values.get(b"expect", b"100-continue").lower() != b"100-continue":
        raise Refused("expectation")
    return values


def _read_chunks(data: bytes) -> tuple[bytes, bytes] | None:
    body = b""
    while True:
        line, end, data = data.partition(b"\r\n")
        chunk = _CHUNK.fullmatch(line)
        if chunk is None and end:
            raise Refused("chunk")
        if chunk is None or not end:
            return None
        size = int(chunk[1], 16)
        if not size:
            return _read_trailers(body, data)
        body += data[:size]
        if data[size : size + 2] != b"\r\n"[: max(len(data) - size, 0)]:
            raise Refused("chunk end")
        if len(data) < size + 2:
            return None
        data = data[size + 2 :]


def _read_trailers(body: bytes, data: bytes) -> tuple[bytes, bytes] | None:
    while True:
        line, end, data = data.partition(b"\r\n")
        if not end:
            return None
        if not line:
            return body, data
        if not _HEADER.fullmatch(line):
            raise Refused("trailer")
