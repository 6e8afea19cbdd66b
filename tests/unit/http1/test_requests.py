"""Request heads: what is refused, what is passed on, wherever the bytes are cut."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.ground.errors import ProxyError
from proxy.http1 import Parsers, RequestParser
from tests.support.http1 import BLOCK, HOST, LIMIT, REFUSED, START, feed_bytes


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


# --- what is refused


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


@pytest.mark.parametrize("method", [b"FOO", b"DESCRIBE", b"GETX", b"A-B_C"])
@pytest.mark.parametrize("bytewise", [False, True])
def test_an_unheard_of_method_passes(method, bytewise):
    raw = method + b" /x HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\n"
    parser = RequestParser(LIMIT)
    for _ in range(2):
        head, rest = feed_bytes(parser, raw) if bytewise else parser.feed(raw + b"{}")
        assert head is not None
        assert (head.method, head.target, head.body_length) == (method, b"/x", 2)
        assert head.forwarded() == raw
        assert rest == (b"" if bytewise else b"{}")
        assert not head.repeatable
    good, _ = parser.feed(START + b"\r\n")
    assert good is not None
    assert good.method == b"POST"


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


# --- wherever they are cut, and whatever came before

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


@given(BLOCK, LINE, BLOCK)
@example(b"Content-Length: 3\r\nX: y\r\n", b"PUT /x HTTP/1.1", b"Content-Length: 4\r\nX: y\r\n")
def test_a_parser_that_remembers_finds_what_a_new_one_finds(first, line, second):
    start, end = b"\r\n" + HOST, b"\r\n"
    parser = RequestParser(LIMIT)
    if not isinstance(outcome(parser, b"POST /first HTTP/1.1" + start + first + end), tuple):
        return  # refused: nothing more is read
    raw = line + start + second + end + b"rest"
    assert outcome(parser, raw) == outcome(RequestParser(LIMIT), raw)


@given(BLOCK, LINE, BLOCK)
@example(b"Content-Length: 3\r\nX: y\r\n", b"PUT /x HTTP/1.1", b"Content-Length: 4\r\nX: y\r\n")
def test_a_parser_that_learns_from_another_finds_what_a_new_one_finds(first, line, second):
    start, end, parsers = b"\r\n" + HOST, b"\r\n", Parsers()
    other = RequestParser(LIMIT, others=parsers)
    raws = [b"POST /first HTTP/1.1" + start + first + end, line + start + second + end + b"rest"]
    found = outcome(other, raws[0])
    for raw in raws:
        assert outcome(RequestParser(LIMIT, others=parsers), raw) == outcome(
            RequestParser(LIMIT), raw
        )
    if isinstance(found, tuple):
        assert outcome(other, raws[0]) == found  # nothing of its own has been changed


def test_a_head_like_that_of_another_connection_is_not_parsed_again():
    parsers = Parsers()
    first = b"POST /a HTTP/1.1\r\nHost: x\r\ncontent-length: 3\r\n\r\n"
    RequestParser(LIMIT, others=parsers).feed(first)
    known = parsers.last
    for raw in (first, first.replace(b"/a", b"/b").replace(b"3", b"14")):
        head, rest = RequestParser(LIMIT, others=parsers).feed(raw + b"abc")
        assert head is not None
        assert (head.encoded, rest, parsers.last) == (raw, b"abc", known)
    RequestParser(LIMIT, others=parsers).feed(first.replace(b"Host: x", b"Host: y"))
    assert parsers.last is not known


@given(PIECES, st.integers(1, 60))
def test_a_cut_changes_nothing(raw, cut):
    parser = RequestParser(LIMIT)
    found = outcome(parser, raw[:cut])
    if found is None:
        assert outcome(parser, raw[cut:]) == outcome(RequestParser(LIMIT), raw)


def test_many_headers_are_refused():
    good = b"GET / HTTP/1.1\r\n" + HOST + b"a: b\r\n" * 499 + b"\r\n"
    head, _ = RequestParser(LIMIT).feed(good)
    assert head is not None
    assert len(head.headers) == 500
    for count in (501, 5000, 9000):
        raw = b"GET / HTTP/1.1\r\n" + HOST + b"a:\r\n" * count
        for end in (b"\r\n", b""):
            with pytest.raises(ProxyError, match=r"more than \[500\] headers") as caught:
                RequestParser(LIMIT).feed(raw + end)
            assert caught.value.status == 431


def test_blank_lines_before_a_head_count_as_part_of_it():
    parser = RequestParser(1000)
    for _ in range(3):
        head, rest = parser.feed(b"\r\n" * 400 + b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (head is not None, rest) == (True, b"")
    with pytest.raises(ProxyError, match="larger than"):
        RequestParser(1000).feed(b"\r\n" * 501 + b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    parser = RequestParser(1000)
    for _ in range(250):
        assert parser.feed(b"\r\n\r\n") == (None, b"")
        assert not parser.reading
    with pytest.raises(ProxyError, match="larger than"):
        parser.feed(b"\r\n\r\n")


@pytest.mark.parametrize("others", [None, Parsers()], ids=["alone", "with-others"])
def test_blank_lines_count_up_to_a_head_that_is_recognised(others):
    head = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
    RequestParser(1000, others=others).feed(head)
    parser = RequestParser(1000, others=others)
    for _ in range(3):
        assert parser.feed(b"\r\n" * 400) == (None, b"")
        assert parser.feed(head)[0] is not None


def test_what_is_kept_of_a_head_is_told_and_dropped():
    parser = RequestParser(LIMIT)
    assert parser.kept == 0
    parser.feed(b"GET / HTTP/1.1\r\n")
    assert parser.kept >= 10
    parser.forget()
    assert parser.kept == 0


# --- headers for the proxy alone

OWN = b"x-Embedding-Cache: no-cache\r\n"


def test_a_header_for_the_proxy_alone_is_told_apart_from_those_that_are_passed_on():
    parser = RequestParser(LIMIT)
    for line in (b"GET /a HTTP/1.1\r\n", b"GET /b HTTP/1.1\r\n"):
        head, _ = parser.feed(line + HOST + OWN + b"X-Other: 1\r\n\r\n")
        assert head is not None
        assert head.own == [(b"x-Embedding-Cache", b"no-cache")]
        assert not any(b"Cache" in name for name, _ in head.headers)
        assert OWN in head.encoded  # for the application, which answers such a request
