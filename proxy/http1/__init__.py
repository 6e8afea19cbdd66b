"""HTTP/1 messages as a proxy reads and rewrites them: functions on bytes, no I/O.

Two rules hold throughout. An ambiguous message is refused, never repaired: Elasticsearch's own
parser repairs in its own way, and could run a part of the message as a second request. And what a
decision is based on is what is sent: targets are compared and forwarded as raw bytes.

`requests`, `answers` and `bodies` each read what their name says; `headers` has what they share.
"""

from __future__ import annotations

from proxy.http1.answers import (
    GIVEN_UP,
    AnswerHead,
    AnswerParser,
    chunked_head,
    error_answer,
    whole_answer,
)
from proxy.http1.bodies import (
    CHUNKS_AT_ONCE,
    LAST_CHUNK,
    Body,
    EndlessBody,
    RechunkedBody,
    SizedBody,
    chunk,
)
from proxy.http1.headers import (
    CONTINUE,
    HOP_BY_HOP,
    Forwarding,
    Headers,
    Malformed,
    check_text,
    encoded_head,
)
from proxy.http1.requests import Parsers, RequestHead, RequestParser, request_head

__all__ = [
    "CHUNKS_AT_ONCE",
    "CONTINUE",
    "GIVEN_UP",
    "HOP_BY_HOP",
    "LAST_CHUNK",
    "AnswerHead",
    "AnswerParser",
    "Body",
    "EndlessBody",
    "Forwarding",
    "Headers",
    "Malformed",
    "Parsers",
    "RechunkedBody",
    "RequestHead",
    "RequestParser",
    "SizedBody",
    "check_text",
    "chunk",
    "chunked_head",
    "encoded_head",
    "error_answer",
    "request_head",
    "whole_answer",
]
