"""HTTP/1 heads and bodies as the lane passes them on: pure functions on bytes, no I/O.

Two rules hold throughout. What is ambiguous is refused, never repaired, because Elasticsearch's own
parser repairs in its own way and would run the rest as a second request. And what is decided on is
what is sent: targets are compared raw and forwarded raw.

Requests, answers and bodies are read in the modules of these names; `headers` has what they share.
"""

from __future__ import annotations

from proxy.http1.answers import GIVEN_UP, AnswerHead, AnswerParser, error_answer
from proxy.http1.bodies import (
    Body,
    ChunkedBody,
    EndlessBody,
    RechunkedBody,
    SizedBody,
    UnchunkedBody,
)
from proxy.http1.headers import (
    CONTINUE,
    HOP_BY_HOP,
    Forwarding,
    Headers,
    Malformed,
    check_text,
)
from proxy.http1.requests import RequestHead, RequestParser, request_head

__all__ = [
    "CONTINUE",
    "GIVEN_UP",
    "HOP_BY_HOP",
    "AnswerHead",
    "AnswerParser",
    "Body",
    "ChunkedBody",
    "EndlessBody",
    "Forwarding",
    "Headers",
    "Malformed",
    "RechunkedBody",
    "RequestHead",
    "RequestParser",
    "SizedBody",
    "UnchunkedBody",
    "check_text",
    "error_answer",
    "request_head",
]
