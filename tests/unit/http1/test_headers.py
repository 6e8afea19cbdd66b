"""What is true of the headers of requests and answers alike."""

from __future__ import annotations

import pytest

from proxy.http1 import RequestParser
from tests.support.http1 import HOST, LIMIT


@pytest.mark.parametrize(
    ("version", "connection", "kept"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"close", False),
        (b"1.1", b"Foo,  CLOSE", False),
        (b"1.1", b"keep-alive", True),
        (b"1.1", b"keep-alive, close", False),
        (b"1.0", b"", False),
        (b"1.0", b"Keep-Alive", True),
        (b"1.0", b"keep-Alive , x", True),
    ],
)
def test_a_connection_is_kept_as_the_request_and_its_version_ask(version, connection, kept):
    header = b"Connection: " + connection + b"\r\n" if connection else b""
    raw = b"GET / HTTP/" + version + b"\r\n" + HOST + header + b"\r\n"
    head, _ = RequestParser(LIMIT).feed(raw)
    assert head is not None
    assert head.keep_alive is kept
