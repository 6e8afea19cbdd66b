"""Heads and bodies on the wire: what is refused, what is passed on, wherever the bytes are cut."""

from __future__ import annotations

import httptools
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.errors import ProxyError, UpstreamUnavailable
from proxy.http1 import (
    AnswerParser,
    ChunkedBody,
    EndlessBody,
    Malformed,
    RechunkedBody,
    RequestParser,
    SizedBody,
    UnchunkedBody,
    error_answer,
)
from proxy.interception import is_inference

LIMIT = 65536
HOST = b"Host: es:9200\r\n"


def parse(raw: bytes):
    """The head that a new parser finds, and what follows it."""
    return RequestParser(LIMIT).feed(raw)


def head_of(raw: bytes):
    head, rest = parse(raw)
    assert head is not None
    assert rest == b""
    return head


def refused(raw: bytes) -> ProxyError:
    with pytest.raises(ProxyError) as caught:
        parse(raw)
    return caught.value


# --- which targets are ours


@pytest.mark.parametrize(
    "target",
    [
        b"/_inference",
        b"/_inference/",
        b"/_inference//",
        b"/_inference//a",
        b"/_inference/a//b",
        b"/_inference?",
        b"/_inference?x=/a//b",
        b"/_inference/_all",
        b"/_inference/a/b",
        b"/_inference/a/b///?x",
        b"/_inference/a%2Fb",
        b"/_inference/%5finference",
        b"/_inference/a;b",
        b"/_inference/..",
    ],
)
def test_inference_targets(target):
    assert is_inference(target)


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"//",
        b"/?/_inference",
        b"//_inference",
        b"/./_inference",
        b"/x/../_inference",
        b"/%5finference",
        b"/%5Finference/x",
        b"/_%69nference",
        b"/_INFERENCE",
        b"/_Inference/x",
        b"/_inference%2fx",
        b"/_inference;a=b/x",
        b"/_inferences",
        b"/_inference_x",
        b"/\\_inference",
        b"/x/_inference",
        b"/_cluster/health",
    ],
)
def test_targets_of_others(target):
    assert not is_inference(target)


# --- what is refused

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
    "unknown method": (b"FOO / HTTP/1.1\r\n" + HOST, 400),
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


def feed_bytes(parser, raw: bytes):
    """What the last byte gave, when each comes alone."""
    return [parser.feed(bytes((byte,))) for byte in raw][-1]


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_ambiguous_is_refused(name):
    raw, status = REFUSED[name]
    assert refused(raw).status == status


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_byte_by_byte_as_well(name):
    raw, status = REFUSED[name]
    with pytest.raises(ProxyError) as caught:
        feed_bytes(RequestParser(LIMIT), raw)
    assert caught.value.status == status


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_behind_a_good_request_as_well(name):
    raw, status = REFUSED[name]
    for good in (START, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n"):
        parser = RequestParser(LIMIT)
        head, rest = parser.feed(good + b"\r\n" + raw)
        assert head is not None
        with pytest.raises(ProxyError) as caught:
            parser.feed(rest)
        assert caught.value.status == status


def test_chunked_is_refused_in_http_1_0():
    raw = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert refused(raw).status == 400


def test_the_host_that_http_1_0_need_not_name_is_still_due_in_http_1_1():
    parser = RequestParser(LIMIT)
    head, _ = parser.feed(b"GET / HTTP/1.0\r\nAccept: */*\r\n\r\n")
    assert head is not None
    with pytest.raises(ProxyError):
        parser.feed(b"GET / HTTP/1.1\r\nAccept: */*\r\n\r\n")


def test_two_authorizations_get_the_answer_of_elasticsearch():
    raw, _ = REFUSED["two spellings"]
    error = refused(raw).envelope()
    reason = "multiple values for single-valued header [Authorization]."
    cause = {"type": "illegal_argument_exception", "reason": reason}
    assert error == {"error": {"root_cause": [cause], **cause}, "status": 400}


@pytest.mark.parametrize("name", REFUSED)
def test_no_error_quotes_what_was_sent(name):
    raw, _ = REFUSED[name]
    error = refused(raw[:-2] + b"X-Secret: c2VjcmV0\r\n\r\n")
    assert b"c2VjcmV0" not in orjson.dumps(error.envelope())
    assert error.__context__ is None or error.__suppress_context__


def test_a_head_that_is_too_long_is_refused_before_it_ends():
    parser = RequestParser(1000)
    parser.feed(b"GET / HTTP/1.1\r\n" + HOST)
    with pytest.raises(ProxyError) as caught:
        parser.feed(b"X: " + b"x" * 1000)
    assert caught.value.status == 431


def test_a_long_head_passes_up_to_the_limit():
    head = b"GET /" + b"x" * 8000 + b" HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 50000 + b"\r\n\r\n"
    assert len(head_of(head).target) == 8001


def test_the_limit_holds_for_repeated_headers_as_well():
    headers = HOST + b"X: " + b"x" * 900 + b"\r\n\r\n"
    parser = RequestParser(1000)
    assert parser.feed(b"GET / HTTP/1.1\r\n" + headers)[0] is not None
    with pytest.raises(ProxyError) as caught:
        parser.feed(b"GET /" + b"y" * 100 + b" HTTP/1.1\r\n" + headers)
    assert caught.value.status == 431


# --- what is passed on

FULL = (
    b"POST /a%2Fb/_search?q=a+b&x=%zz;[] HTTP/1.1\r\n"
    b"Host: Es:9200\r\n"
    b"connection: close, es-security-runas-user\r\n"
    b"Keep-Alive: 5\r\n"
    b"TE: trailers\r\n"
    b"Trailer: X\r\n"
    b"Upgrade: h2c\r\n"
    b"HTTP2-Settings: x\r\n"
    b"Proxy-Authorization: Basic x\r\n"
    b"Proxy-Connection: keep-alive\r\n"
    b"es-security-runas-user: joe\r\n"
    b"X-Twice: 1\r\n"
    b"x-twice: 2\r\n"
    b"X-Text: \xc3\xa9\r\n"
    b"Expect: 100-Continue\r\n"
    b"content-length:  007 \r\n"
    b"X-Empty:\r\n\r\n"
)


def test_a_head_goes_on_less_its_hop_by_hop_headers():
    assert head_of(FULL).forwarded() == (
        b"POST /a%2Fb/_search?q=a+b&x=%zz;[] HTTP/1.1\r\n"
        b"Host: Es:9200\r\n"
        b"es-security-runas-user: joe\r\n"
        b"X-Twice: 1\r\n"
        b"x-twice: 2\r\n"
        b"X-Text: \xc3\xa9\r\n"
        b"Expect: 100-Continue\r\n"
        b"content-length: 7\r\n"
        b"X-Empty: \r\n\r\n"
    )


def test_what_a_head_says():
    head = head_of(FULL)
    assert (head.method, head.body_length, head.keep_alive, head.minor) == (b"POST", 7, False, 1)


@pytest.mark.parametrize("cut", range(1, len(FULL)))
def test_a_head_may_be_cut_anywhere(cut):
    parser = RequestParser(LIMIT)
    assert parser.feed(FULL[:cut]) == (None, b"")
    assert parser.reading
    head, rest = parser.feed(FULL[cut:] + b"body")
    assert head == head_of(FULL)
    assert rest == b"body"
    assert not parser.reading


def test_a_head_may_come_byte_by_byte():
    parser = RequestParser(LIMIT)
    assert feed_bytes(parser, FULL[:-1]) == (None, b"")
    assert parser.feed(FULL[-1:]) == (head_of(FULL), b"")


def test_empty_lines_may_come_before_a_head():
    head, rest = parse(b"\r\n\r\n\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\nrest")
    assert head is not None
    assert (head.target, rest) == (b"/", b"rest")


def test_chunked_is_announced_anew():
    head = head_of(b"POST / HTTP/1.1\r\nTransfer-Encoding: CHUNKED\r\n" + HOST + b"\r\n")
    assert head.body_length is None
    assert head.forwarded() == (
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    )


def test_http_1_0_goes_on_as_http_1_1():
    head = head_of(b"GET / HTTP/1.0\r\n\r\n")
    assert head.forwarded() == b"GET / HTTP/1.1\r\nHost: \r\n\r\n"
    assert not head.keep_alive


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
def test_keep_alive(version, connection, kept):
    header = b"Connection: " + connection + b"\r\n" if connection else b""
    assert head_of(b"GET / HTTP/" + version + b"\r\n" + HOST + header + b"\r\n").keep_alive is kept


def test_an_upgrade_is_ignored_with_a_body_too():
    raw = (
        b"POST / HTTP/1.1\r\n" + HOST + b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 3"
    )
    head, rest = parse(raw + b"\r\n\r\nabcGET")
    assert head is not None
    assert (head.body_length, rest) == (3, b"abcGET")
    assert b"pgrade" not in head.forwarded()


def test_proxy_connection_says_nothing_about_what_follows():
    parser = RequestParser(LIMIT)
    raw = b"GET / HTTP/1.1\r\nHost: es\r\nProxy-Connection: close\r\n\r\n"
    for path in (b"/a", b"/b"):
        head, rest = parser.feed(raw + b"GET " + path + b" HTTP/1.1\r\nHost: es\r\n\r\n")
        assert head is not None
        assert head.keep_alive
        head, rest = parser.feed(rest)
        assert head is not None
        assert (head.target, rest) == (path, b"")


def test_heads_follow_each_other():
    parser = RequestParser(LIMIT)
    one = b"POST /1 HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\n"
    two = b"GET /2 HTTP/1.1\r\n" + HOST + b"\r\n"
    head, rest = parser.feed(one + b"{}" + two)
    assert head is not None
    assert head.target == b"/1"
    head, rest = parser.feed(rest[2:])
    assert head is not None
    assert (head.target, rest) == (b"/2", b"")


PIECES = st.lists(
    st.sampled_from(
        [
            *(b"GET ", b"POST ", b"CONNECT ", b"/x", b"/", b"#", b"?", b" ", b"  ", b"\t"),
            *(b" HTTP/1.1", b" HTTP/1.0", b" HTTP/2.0", b"\r\n", b"\n", b"\r", b"\0", b"\xe9"),
            *(b"Host: a\r\n", b"X: y\r\n", b"Content-Length: 3\r\n", b"\r\n\r\n", b"a", b":"),
            *(b"Connection: close\r\n", b"Transfer-Encoding: chunked\r\n", b"Upgrade: x\r\n"),
        ]
    ),
    max_size=12,
).map(b"".join)
LINE = st.one_of(PIECES, st.binary(max_size=20).map(lambda b: b"GET /" + b + b" HTTP/1.1"))


def outcome(parser: RequestParser, raw: bytes):
    try:
        head, rest = parser.feed(raw)
    except ProxyError as error:
        return error.envelope()
    return (head, head.forwarded(), rest) if head is not None else None


LENGTHS = [
    *(b"3", b"0", b"17", b"007", b"", b"-1", b"+1", b"0x1", b"1 0", b"1, 1", b" 4 ", b"5\t"),
    *(b"999999999999999999", b"1000000000000000000", b"3\r\nContent-Length: 3", b"3\r\n 4"),
    *(b"\xb2", b"3\n", b"3\r", b"3\0"),
]
SIZED = st.sampled_from(LENGTHS).map(lambda length: b"Content-Length: " + length + b"\r\n")
EXTRA = st.sampled_from([b"", b"X: y\r\n", b"Keep-Alive: 5\r\n", b"Content-length-x: 5\r\n"])
BLOCK = st.tuples(EXTRA, st.one_of(st.just(b""), SIZED), EXTRA).map(b"".join)


@given(BLOCK, LINE, BLOCK)
@example(b"Content-Length: 3\r\nX: y\r\n", b"PUT /x HTTP/1.1", b"Content-Length: 4\r\nX: y\r\n")
def test_a_parser_that_remembers_finds_what_a_new_one_finds(first, line, second):
    start, end = b"\r\n" + HOST, b"\r\n"
    parser = RequestParser(LIMIT)
    if not isinstance(outcome(parser, b"POST /first HTTP/1.1" + start + first + end), tuple):
        return  # refused: nothing more is read
    raw = line + start + second + end + b"rest"
    assert outcome(parser, raw) == outcome(RequestParser(LIMIT), raw)


@given(PIECES, st.integers(1, 60))
def test_a_cut_changes_nothing(raw, cut):
    parser = RequestParser(LIMIT)
    found = outcome(parser, raw[:cut])
    if found is None:
        assert outcome(parser, raw[cut:]) == outcome(RequestParser(LIMIT), raw)


# --- answers


def answer(raw: bytes, method: bytes = b"GET"):
    head, rest = AnswerParser().feed(raw, method)
    assert head is not None
    return head, rest


PLAIN = b"HTTP/1.1 200 OK\r\nX-elastic-product: Elasticsearch\r\ncontent-length: 3\r\n\r\n"


@pytest.mark.parametrize("cut", range(1, len(PLAIN)))
def test_an_answer_may_be_cut_anywhere(cut):
    parser = AnswerParser()
    for _ in range(2):  # the second time it is known
        assert parser.feed(PLAIN[:cut], b"GET") == (None, b"")
        head, rest = parser.feed(PLAIN[cut:] + b"abc", b"GET")
        assert head is not None
        assert (head.raw, head.length, head.clean, rest) == (PLAIN, 3, True, b"abc")


def test_an_answer_is_known_again_only_for_the_same_method():
    parser = AnswerParser()
    lengths = []
    for method in (b"GET", b"GET", b"HEAD", b"GET"):
        head, _ = parser.feed(PLAIN, method)
        assert head is not None
        lengths.append(head.length)
    assert lengths == [3, 3, 0, 3]


def answer_outcome(parser, raw: bytes, method: bytes):
    try:
        return parser.feed(raw, method)
    except Malformed as error:
        return str(error)


STATUS = st.sampled_from([b"200 OK", b"204 No Content", b"304 Not Modified", b"404 Not Found"])
METHOD = st.sampled_from([b"GET", b"HEAD"])


@given(STATUS, METHOD, BLOCK, STATUS, METHOD, BLOCK)
@example(b"200 OK", b"GET", b"Content-Length: 3\r\n", b"200 OK", b"GET", b"Content-Length: 4\r\n")
def test_an_answer_parser_that_remembers_finds_what_a_new_one_finds(
    first, first_method, first_block, second, method, block
):
    parser = AnswerParser()
    raw = b"HTTP/1.1 " + first + b"\r\n" + first_block + b"\r\n"
    if not isinstance(answer_outcome(parser, raw, first_method), tuple):
        return
    raw = b"HTTP/1.1 " + second + b"\r\n" + block + b"\r\nrest"
    assert answer_outcome(parser, raw, method) == answer_outcome(AnswerParser(), raw, method)


@pytest.mark.parametrize(
    ("head", "method", "length", "chunked", "kept"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5", b"GET", 5, False, True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5", b"HEAD", 0, False, True),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked", b"GET", None, True, True),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked", b"HEAD", 0, False, True),
        (b"HTTP/1.1 204 No Content", b"GET", 0, False, True),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5", b"GET", 0, False, True),
        (b"HTTP/1.1 100 Continue", b"GET", 0, False, True),
        (b"HTTP/1.1 200", b"GET", None, False, False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nConnection: close", b"GET", 5, False, False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 5", b"GET", 5, False, False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\nconnection: keep-alive", b"GET", 5, False, True),
    ],
)
def test_where_an_answer_ends(head, method, length, chunked, kept):
    found, _ = answer(head + b"\r\n\r\n", method)
    assert (found.length, found.chunked, found.keep_alive) == (length, chunked, kept)


@pytest.mark.parametrize(
    "head",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x15\x03\x03\x00\x02\x02\x16",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200OK\r\n\r\n",
        b"HTTP/1.1 999 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\nY: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1, 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: \r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"x" * 300_000,
    ],
)
def test_what_is_no_proper_answer(head):
    with pytest.raises(Malformed):
        AnswerParser().feed(head, b"GET")


def test_an_answer_loses_what_is_about_the_connection_it_came_on():
    raw = (
        b"HTTP/1.0 200 Fine\r\nConnection: close\r\nKeep-Alive: 5\r\nUpgrade: h2c\r\n"
        b"Set-Cookie: a\r\nset-cookie: b\r\ncontent-length: 0\r\n\r\n"
    )
    head, _ = answer(raw)
    kept = b"HTTP/1.1 200 Fine\r\nSet-Cookie: a\r\nset-cookie: b\r\ncontent-length: 0\r\n"
    assert not head.clean
    assert head.forwarded(keep_alive=True, minor=1) == kept + b"\r\n"
    assert head.forwarded(keep_alive=False, minor=1) == kept + b"Connection: close\r\n\r\n"
    assert head.forwarded(keep_alive=True, minor=0) == kept + b"Connection: keep-alive\r\n\r\n"


def test_chunked_stays_for_http_1_1_and_goes_for_http_1_0():
    head, _ = answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n")
    kept = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n"
    assert head.forwarded(keep_alive=True, minor=1) == kept + b"\r\n"
    assert (
        head.forwarded(keep_alive=False, minor=0) == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    )


def test_an_error_is_a_whole_answer():
    error = UpstreamUnavailable("upstream [http://es:9200] cannot be reached")
    raw = error_answer(error, method=b"GET", keep_alive=False)
    head, body = answer(raw)
    assert head.length == len(body)
    assert raw.startswith(
        b"HTTP/1.1 503 Service Unavailable\r\nX-elastic-product: Elasticsearch\r\n"
        b"content-type: application/json\r\n"
    )
    assert b"Connection: close\r\n" in raw
    assert orjson.loads(body) == error.envelope()
    assert error_answer(error, method=b"HEAD", keep_alive=True).endswith(b"\r\n\r\n")


# --- bodies

CHUNKED = b'5\r\nhello\r\n00006;a=b;c="d"\r\n world\r\nA\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n'
PAYLOAD = b"hello world0123456789"
FORMS = {
    ChunkedBody: CHUNKED,
    UnchunkedBody: PAYLOAD,
    RechunkedBody: b"15\r\n" + PAYLOAD + b"\r\n0\r\n\r\n",
}


def payload_of(raw: bytes) -> bytes:
    part, _ = UnchunkedBody().feed(raw)
    return part


@pytest.mark.parametrize("form", FORMS)
def test_chunked_bodies_in_one_piece(form):
    body = form()
    assert body.feed(CHUNKED + b"GET / HTTP/1.1") == (FORMS[form], len(CHUNKED))
    assert body.ended


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cut", range(1, len(CHUNKED)))
def test_chunked_bodies_may_be_cut_anywhere(form, cut):
    body = form()
    first, used = body.feed(CHUNKED[:cut])
    assert used == cut
    assert not body.ended
    second, used = body.feed(CHUNKED[cut:] + b"GET")
    assert used == len(CHUNKED) - cut
    assert body.ended
    if form is RechunkedBody:
        assert payload_of(first + second) == PAYLOAD
    else:
        assert first + second == FORMS[form]


@pytest.mark.parametrize(
    "raw",
    [
        b"0x2\r\nab\r\n0\r\n\r\n",
        b" 2\r\nab\r\n0\r\n\r\n",
        b"2 \r\nab\r\n0\r\n\r\n",
        b"2 ;a\r\nab\r\n0\r\n\r\n",
        b"-2\r\nab\r\n0\r\n\r\n",
        b"+2\r\nab\r\n0\r\n\r\n",
        b"\r\nab\r\n0\r\n\r\n",
        b"g\r\nab\r\n0\r\n\r\n",
        b"ffffffffffffffffff\r\nab",
        b"2\nab\r\n0\r\n\r\n",
        b"2\rab\r\n0\r\n\r\n",
        b"2;a\nb\r\nab\r\n0\r\n\r\n",
        b"2;a\x00b\r\nab\r\n0\r\n\r\n",
        b"2\r\nabc\r\n0\r\n\r\n",
        b"2\r\nab0\r\n\r\n",
        b"2\r\nab\n0\r\n\r\n",
        b"2\r\nab\r\r\n0\r\n\r\n",
        b"0\r\nContent-Length: 5\r\n\r\n",
        b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"0\r\nAuthorization: x\r\n\r\n",
        b"0\r\nno colon\r\n\r\n",
        b"0\r\n\n",
        b"0\r\nX: y\n\r\n",
        b"0\r\n" + b"X: y\r\n" * 10_000,
        b"2;" + b"x" * 10_000,
    ],
)
def test_bad_chunks_are_refused_wherever_they_are_cut(raw):
    with pytest.raises(Malformed):
        ChunkedBody().feed(raw)
    with pytest.raises(Malformed):
        feed_bytes(ChunkedBody(), raw)


class Recorder:
    """What llhttp finds in a request with a chunked body."""

    ended = False
    failed = False

    def __init__(self, raw: bytes) -> None:
        self.body = b""
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            parser.feed_data(raw)
        except httptools.HttpParserError:
            self.failed = True

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.ended = True


CHUNKS = st.lists(
    st.sampled_from(
        [
            *(b"0", b"1", b"2", b"a", b"00", b"\r\n", b"\r", b"\n", b";", b"=", b" ", b"x", b'"'),
            *(b"X: y\r\n", b"1\r\na\r\n", b"2\r\nab\r\n", b"0\r\n\r\n", b"\0"),
        ]
    ),
    max_size=10,
).map(b"".join)


@given(CHUNKS)
def test_whatever_is_taken_llhttp_takes_in_the_same_way(raw):
    body = UnchunkedBody()
    try:
        payload, used = body.feed(raw)
    except Malformed:
        return
    other = Recorder(raw[:used])
    assert other.body == payload
    if body.ended:
        assert (other.ended, other.failed) == (True, False)


@given(st.lists(st.binary(min_size=1, max_size=5)))
def test_what_is_chunked_anew_is_read_by_llhttp(pieces):
    raw = b"".join(b"%x;ext\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    rechunked, _ = RechunkedBody().feed(raw)
    other = Recorder(rechunked)
    assert (other.body, other.ended, other.failed) == (b"".join(pieces), True, False)


def test_sized_bodies_end_where_they_said():
    body = SizedBody(5)
    assert (body.feed(b"abc"), body.ended) == ((b"abc", 3), False)
    assert (body.feed(b"defGET"), body.ended) == ((b"de", 2), True)
    assert SizedBody(0).ended


def test_endless_bodies_take_everything():
    body = EndlessBody()
    assert body.feed(b"abc") == (b"abc", 3)
    assert not body.ended
    assert body.until_close
