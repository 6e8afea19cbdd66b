"""Byte streams to attack with: valid, ambiguous and mutated requests."""

from __future__ import annotations

import re
from typing import Final

from hypothesis import strategies as st


def ours(target: bytes) -> bool:
    """Whether Elasticsearch would route this target to `_inference`."""
    path = target.partition(b"?")[0].rstrip(b"/")
    return path == b"/_inference" or path.startswith(b"/_inference/")


METHODS: Final = [b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"PATCH"]
TARGETS: Final = [
    *(b"/", b"/x", b"/a%2Fb?c=%zz&d", b"//x", b"/x/../y", b"/x;y?z=[]", b"/_inference", b"/?"),
    *(
        b"/_inference/a/b?c",
        b"/_inferences",
        b"/%5finference/a",
        b"//_inference",
        b"/x?/_inference",
    ),
    *(
        b"/./_inference/a",
        b"/_INFERENCE",
        b"/_inference%2fa",
        b"/x/../_inference/a",
        b"/_inference;a",
    ),
]
HEADERS: Final = [
    *(b"X-A: 1", b"x-a: 2", b"X-B:", b"X-C:\t a b \t", b"Accept: */*", b"Authorization: Basic a"),
    *(b"X-Opaque-Id: a", b"Connection: keep-alive", b"Connection: X-A, x-b", b"Upgrade: h2c"),
    *(b"es-security-runas-user: b", b"TE: trailers", b"Keep-Alive: timeout=5", b"Trailer: X"),
    *(b"Proxy-Connection: keep-alive", b"HTTP2-Settings: AA", b"Content-Type: application/json"),
    *(
        "X-Text: é".encode(),
        b'X-Odd: ",;=\\',
        b"Proxy-Authorization: Basic a",
        b"X-L: " + b"v" * 5000,
    ),
]
CLOSING: Final = [b"Connection: close", b"connection: X, Close"]
BODY: Final = st.one_of(
    st.just(b""),
    st.sampled_from(
        [b"{}", b"GET /smuggled HTTP/1.1\r\nHost: es\r\n\r\n", b"0\r\n\r\n", b"\r\n\r\n"]
    ),
    st.binary(max_size=40),
)


def chunked(
    body: bytes, sizes: list[int], *, extension: bytes = b"", trailer: bytes = b""
) -> bytes:
    parts: list[bytes] = []
    while body:
        size = sizes[len(parts) % len(sizes)]
        piece, body = body[:size], body[size:]
        parts.append(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece))
    return b"".join(parts) + b"0%b\r\n%b\r\n" % (extension, trailer)


@st.composite
def valid_requests(draw: st.DrawFn, closing: bool = False) -> bytes:
    headers = draw(st.lists(st.sampled_from(HEADERS), max_size=5, unique_by=lambda h: h.lower()))
    headers.insert(draw(st.integers(0, len(headers))), b"Host: es")
    if closing:
        headers.append(draw(st.sampled_from(CLOSING)))
    body = draw(BODY)
    framing = draw(st.sampled_from(["length", "chunks", "zeros"])) if body else "none"
    if framing == "chunks":
        headers.append(
            draw(st.sampled_from([b"Transfer-Encoding: chunked", b"transfer-encoding:CHUNKED"]))
        )
        sizes = draw(st.lists(st.integers(1, 20), min_size=1, max_size=3))
        extension = draw(st.sampled_from([b"", b";a", b';a=b;c="d e"']))
        trailer = draw(st.sampled_from([b"", b"X-Sum: 1\r\n"]))
        body = chunked(body, sizes, extension=extension, trailer=trailer)
    elif framing != "none":
        zeros = b"00" if framing == "zeros" else b""
        headers.append(b"Content-Length: %b%d" % (zeros, len(body)))
    # The application answers some requests before their body has come, and then closes.
    targets = [target for target in TARGETS if not body or not ours(target)]
    line = draw(st.sampled_from(METHODS)) + b" " + draw(st.sampled_from(targets)) + b" HTTP/1.1"
    return b"\r\n".join([line, *headers, b"", body])


VALID: Final = st.lists(valid_requests(), min_size=1, max_size=4).map(b"".join)
# Header lines that frame a message, or look as if they did.
FRAMING: Final = [
    *(b"Content-Length: 0", b"Content-Length: 5", b"content-length: 44", b"Content-Length: +5"),
    *(
        b"Content-Length: -1",
        b"Content-Length: 0x5",
        b"Content-Length: 5, 5",
        b"Content-Length: 5 5",
    ),
    *(
        b"Content-Length:",
        b"Content-Length: 5\r\n 5",
        b"Content-Length : 5",
        b"Content-Length: 1e1",
    ),
    *(b"Content-Length: 99999999999999999999", b"Content-Length: 5\x00", b"Content\xadLength: 5"),
    *(
        b"Transfer-Encoding: chunked",
        b"transfer-encoding:\tchunked ",
        b"Transfer-Encoding: Chunked",
    ),
    *(b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, identity", b"TE: chunked"),
    *(
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding:\x0bchunked",
    ),
    *(
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding: chunked\r",
        b"Transfer-Encoding:\r\n chunked",
    ),
    *(
        b"X: y\nTransfer-Encoding: chunked",
        b" Transfer-Encoding: chunked",
        b"Transfer_Encoding: chunked",
    ),
    *(b'Transfer-Encoding: "chunked"', b"Transfer-Encoding: chunked;a=b", b"Transfer-Encoding:"),
    *(
        b"Transfer-Encoding: chunked,",
        b"Transfer-Encoding: ,chunked",
        b"Transfer-Encoding: \xc4\x8dhunked",
    ),
]
BODIES: Final = [
    *(
        b"0\r\n\r\n",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"hello",
        b"5;\nX\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n",
    ),
    *(
        b"5\nhello\n0\n\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\n",
        b"\r\n0\r\n\r\n",
    ),
    *(
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"ffffffffffffffff\r\nhello",
        b"0" * 20 + b"\r\n\r\n",
    ),
    *(
        b'5;a="\r\n"\r\nhello\r\n0\r\n\r\n',
        b"0\r\nContent-Length: 5\r\n\r\n",
        b"0\r\nHost: x\r\n\r\n",
    ),
    *(
        b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"0\r\nX: y\n\r\n\r\n",
        b"0\r\n X: y\r\n\r\n",
        b"5;a\r\r\nhello\r\n",
    ),
    *(
        b"0\r\nAuthorization: Basic b\r\n\r\n",
        b"00\r\n\r\n",
        b"5;a;b\r\nhello\r\n0;c\r\nX: y\r\n\r\n",
        b"5\r\nhel",
    ),
]
SMUGGLED: Final = b"GET /smuggled HTTP/1.1\r\nHost: es\r\n\r\n"


@st.composite
def smuggling(draw: st.DrawFn) -> bytes:
    """A request whose end is ambiguous, with another request at one of its possible ends."""
    lines = draw(
        st.permutations([b"Host: es", *draw(st.lists(st.sampled_from(FRAMING), max_size=3))])
    )
    version = draw(st.sampled_from([b"1.1", b"1.1", b"1.1", b"1.0"]))
    head = b"\r\n".join([b"POST /x HTTP/" + version, *lines, b"", b""])
    before = draw(
        st.sampled_from([b"", b"POST /y HTTP/1.1\r\nHost: es\r\nContent-Length: 5\r\n\r\nhello"])
    )
    return before + head + draw(st.sampled_from(BODIES)) + SMUGGLED


PIECES: Final = [
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b"\t",
        b"\x0b",
        b"\xff",
        b":",
        b",",
        b";",
        b"#",
        b"/",
        b"\r\n ",
    ),
    *(
        b"http://es",
        b"/_inference",
        b"%5f",
        b"..",
        b"//",
        b" HTTP/1.1",
        b" HTTP/1.0",
        b"HTTP/2.0",
        b"*",
    ),
    *(
        b"Host: b\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: x\r\n",
        b"0",
    ),
    *(
        b"Connection: close\r\n",
        b"Expect: 100-continue\r\n",
        b"Authorization: Basic b\r\n",
        b"X" * 70000,
    ),
    *(
        b"CONNECT ",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01",
        b"get ",
        b"\r\n\r\n",
        SMUGGLED,
    ),
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    data = draw(VALID)
    for _ in range(draw(st.integers(1, 3))):
        places = [0, *(found.end() for found in re.finditer(rb"\r\n|[ :]", data)), len(data)]
        start = draw(st.one_of(st.sampled_from(places), st.integers(0, len(data))))
        cut = draw(st.sampled_from([0, 0, 1, 2, 5]))
        data = data[:start] + draw(st.sampled_from([b"", *PIECES])) + data[start + cut :]
    return data
