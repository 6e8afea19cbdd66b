"""HTTP/1 messages for tests: good heads, and those that must be refused."""

from __future__ import annotations

from hypothesis import strategies as st

LIMIT = 65536  # bytes of a head


HOST = b"Host: es:9200\r\n"

LINES = {
    "absolute form": (b"GET http://es/_inference HTTP/1.1\r\n" + HOST, 400),
    "asterisk form": (b"OPTIONS * HTTP/1.1\r\n" + HOST, 400),
    "fragment": (b"GET /_inference#x HTTP/1.1\r\n" + HOST, 400),
    "no leading slash": (b"GET _inference HTTP/1.1\r\n" + HOST, 400),
    "authority": (b"GET @es/_inference HTTP/1.1\r\n" + HOST, 400),
    "CONNECT": (b"CONNECT es:9200 HTTP/1.1\r\n" + HOST, 405),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\n" + HOST, 505),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\n" + HOST, 505),
    "HTTP/0.9 named": (b"GET / HTTP/0.9\r\n" + HOST, 505),
    "HTTP/0.9": (b"GET /\r\n" + HOST, 505),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n", 505),
    "RTSP": (b"OPTIONS / RTSP/1.0\r\n" + HOST, 505),
    "ICE": (b"SOURCE / ICE/1.0\r\n" + HOST, 505),
    "no version": (b"GET / \r\n" + HOST, 400),
    "lower-case version": (b"GET / http/1.1\r\n" + HOST, 400),
    "lower-case method": (b"get / HTTP/1.1\r\n" + HOST, 400),
    "method behind a rest": (b"0GET / HTTP/1.1\r\n" + HOST, 400),
    "rest that is joined to a method": (b"xGET / HTTP/1.1\r\n" + HOST, 400),
    "method that is none": (b"F(O / HTTP/1.1\r\n" + HOST, 400),
    "too long a method": (b"F" * 40 + b" / HTTP/1.1\r\n" + HOST, 400),
    "unknown method, RTSP": (b"FOO / RTSP/1.0\r\n" + HOST, 505),
    "unknown method, HTTP/2.0": (b"FOO / HTTP/2.0\r\n" + HOST, 505),
    "unknown method, two spaces": (b"FOO  / HTTP/1.1\r\n" + HOST, 400),
    "unknown method, two lengths": (
        b"FOO / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        400,
    ),
    "two spaces": (b"GET  / HTTP/1.1\r\n" + HOST, 400),
    "two spaces before version": (b"GET /  HTTP/1.1\r\n" + HOST, 400),
    "tab for a space": (b"GET\t/ HTTP/1.1\r\n" + HOST, 400),
    "space in target": (b"GET /a b HTTP/1.1\r\n" + HOST, 400),
    "control character in target": (b"GET /\x01 HTTP/1.1\r\n" + HOST, 400),
    "DEL in target": (b"GET /\x7f HTTP/1.1\r\n" + HOST, 400),
    "raw byte in target": (b"GET /\xe9 HTTP/1.1\r\n" + HOST, 400),
    "leading line feed": (b"\nGET / HTTP/1.1\r\n" + HOST, 400),
    "leading space": (b" GET / HTTP/1.1\r\n" + HOST, 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00", 400),
    "no Host": (b"GET / HTTP/1.1\r\n", 400),
    "two Hosts": (b"GET / HTTP/1.1\r\n" + HOST + b"hOST: es:9200\r\n", 400),
    "bare line feeds": (b"GET / HTTP/1.1\n" + HOST, 400),
    "bare line feed in headers": (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n", 400),
    "bare carriage return": (b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n", 400),
    "line feed for the empty line": (b"GET / HTTP/1.1\r\nHost: a\r\n\nX: b\r\n", 400),
    "obs-fold": (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n", 400),
    "space before the colon": (b"GET / HTTP/1.1\r\n" + HOST + b"X : b\r\n", 400),
    "space before the name": (b"GET / HTTP/1.1\r\n Host: a\r\n", 400),
    "no colon": (b"GET / HTTP/1.1\r\n" + HOST + b"Xyz\r\n", 400),
    "no name": (b"GET / HTTP/1.1\r\n" + HOST + b": b\r\n", 400),
    "name that is no token": (b"GET / HTTP/1.1\r\n" + HOST + b"X@(): b\r\n", 400),
    "NUL": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n", 400),
    "NUL in name": (b"GET / HTTP/1.1\r\n" + HOST + b"X\0: b\r\n", 400),
    "control character": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\x01b\r\n", 400),
    "vertical tab": (b"GET / HTTP/1.1\r\n" + HOST + b"X: \x0bb\r\n", 400),
    "not UTF-8": (b"GET / HTTP/1.1\r\n" + HOST + b"X: caf\xe9\r\n", 400),
}

HEADERS = {
    "length and coding": (b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", 400),
    "coding and length": (b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", 400),
    "gzip, chunked": (b"Transfer-Encoding: gzip, chunked\r\n", 501),
    "gzip and chunked": (b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", 400),
    "chunked, identity": (b"Transfer-Encoding: chunked, identity\r\n", 501),
    "chunked, chunked": (b"Transfer-Encoding: chunked, chunked\r\n", 501),
    "chunked twice": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 501),
    "identity": (b"Transfer-Encoding: identity\r\n", 501),
    "xchunked": (b"Transfer-Encoding: xchunked\r\n", 501),
    "quoted chunked": (b'Transfer-Encoding: "chunked"\r\n', 501),
    "chunked with parameter": (b"Transfer-Encoding: chunked;a=b\r\n", 501),
    "two lengths": (b"Content-Length: 3\r\nContent-Length: 4\r\n", 400),
    "the same length twice": (b"Content-Length: 3\r\ncontent-length: 3\r\n", 400),
    "list of lengths": (b"Content-Length: 2, 2\r\n", 400),
    "length with sign": (b"Content-Length: +2\r\n", 400),
    "negative length": (b"Content-Length: -1\r\n", 400),
    "hexadecimal length": (b"Content-Length: 0x2\r\n", 400),
    "length with underscore": (b"Content-Length: 1_0\r\n", 400),
    "length with space": (b"Content-Length: 1 0\r\n", 400),
    "empty length": (b"Content-Length:\r\n", 400),
    "overflowing length": (b"Content-Length: 99999999999999999999999\r\n", 400),
    "length of 19 digits": (b"Content-Length: 1000000000000000000\r\n", 400),
    "folded length": (b"Content-Length:\r\n 5\r\n", 400),
    "unknown expectation": (b"Content-Length: 1\r\nExpect: 200-ok\r\n", 417),
    "two expectations": (b"Expect: 100-continue\r\nExpect: 100-continue\r\n", 400),
    "two Authorizations": (b"Authorization: Basic a\r\nAuthorization: Basic b\r\n", 400),
    "two spellings": (b"Authorization: Basic a\r\nAUTHORIZATION: Basic a\r\n", 400),
    "two X-Opaque-Ids": (b"X-Opaque-Id: a\r\nx-opaque-id: b\r\n", 400),
}

START = b"POST /x HTTP/1.1\r\n" + HOST

REFUSED = {
    **{name: (head + b"\r\n", status) for name, (head, status) in LINES.items()},
    **{name: (START + headers + b"\r\n", status) for name, (headers, status) in HEADERS.items()},
}

LENGTHS = [
    *(b"3", b"0", b"17", b"007", b"", b"-1", b"+1", b"0x1", b"1 0", b"1, 1", b" 4 ", b"5\t"),
    *(b"999999999999999999", b"1000000000000000000", b"3\r\nContent-Length: 3", b"3\r\n 4"),
    *(b"\xb2", b"3\n", b"3\r", b"3\0"),
]

SIZED = st.sampled_from(LENGTHS).map(lambda length: b"Content-Length: " + length + b"\r\n")

EXTRA = st.sampled_from([b"", b"X: y\r\n", b"Keep-Alive: 5\r\n", b"Content-length-x: 5\r\n"])

BLOCK = st.tuples(EXTRA, st.one_of(st.just(b""), SIZED), EXTRA).map(b"".join)


def feed_bytes(parser, raw: bytes):
    """What the last byte gave, when each comes alone."""
    return [parser.feed(bytes((byte,))) for byte in raw][-1]
