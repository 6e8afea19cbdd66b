from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from proxy.inference.urls import url_problem


@pytest.mark.parametrize(
    "url",
    [
        "http://h",
        "https://h/",
        "HTTPS://H/Path",
        "http://h:8080/a/b?c=d&e=f#g",
        "http://127.0.0.1:80/",
        "http://[::1]:8080/",
        "http://h/%41%20?q=%7E",
        "http://h/a;b,c@d:e!$&'()*+=~_-.",
        "http://h/ü€?q=ü",
        "https://router.huggingface.co/v1/chat/completions",
        "http://h/?a[]=1",
    ],
)
def test_takes_every_usable_url(url):
    assert url_problem(url) is None


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://a b", "Illegal character in authority"),
        ("http://a b/c", "Illegal character in authority"),
        ("http://[::1", "Expected closing bracket for IPv6 address"),
        ("http://a[b]/", "Illegal character in authority"),
        ("http://h/a b", "Illegal character in path"),
        ("http://h/a[b]", "Illegal character in path"),
        ("http://h/?a b", "Illegal character in query"),
        ("http://h/#a b", "Illegal character in fragment"),
        ("http://h/\\", "Illegal character in path"),
        ("http://h/{a}", "Illegal character in path"),
        ("http://h/\n", "Illegal character in path"),
        ("http://h/a\r\nHost: evil", "Illegal character in path"),
        ("http://h/\x7f", "Illegal character in path"),
        ("http://h/\u2028", "Illegal character in path"),
        ("^^", "Illegal character in path"),
        ("http://h/#a#b", "Illegal character in fragment"),
        ("http:", "Expected scheme-specific part"),
        ("http:#a", "Expected scheme-specific part"),
        ("://x", "Expected scheme name"),
        ("1http://h", "Illegal character in scheme name"),
        ("ht tp://h", "Illegal character in scheme name"),
    ],
)
def test_says_in_javas_words_what_is_wrong(url, problem):
    assert url_problem(url) == problem


@pytest.mark.parametrize(
    "url", ["url", "/path", "//h/path", "ftp://h", "file:///etc/passwd", "gopher://h", "?q", "#f"]
)
def test_only_http_will_do(url):
    assert url_problem(url) == "Expected scheme name"


@pytest.mark.parametrize("url", ["http://", "http:///path", "http://:80/", "http://?q"])
def test_a_host_must_be_there(url):
    assert url_problem(url) in ("Expected scheme name", "Expected authority")


@pytest.mark.parametrize("url", ["http://user@h/", "http://user:pass@h/", "http://:pass@h/"])
def test_credentials_have_no_place_in_a_url(url):
    assert url_problem(url) == "User information is not supported"


@pytest.mark.parametrize("port", ["0", "65536", "99999999", "x", "-1", "8080x"])
def test_a_port_must_be_one(port):
    assert url_problem(f"http://h:{port}/") == "Expected scheme name"


@pytest.mark.parametrize("url", ["http://h/%", "http://h/%zz", "http://h/?%4"])
def test_a_bad_escape_is_named_as_java_does(url):
    assert url_problem(url) == "Malformed escape pair"


@pytest.mark.parametrize("host", ["a" * 64 + ".test", "a..test", ".test"])
def test_a_host_that_no_name_server_could_know_is_refused(host):
    assert url_problem(f"http://{host}/") is not None


@given(st.text(max_size=30))
def test_any_text_has_an_answer(text):
    for url in (text, f"http://{text}", f"http://h/{text}", f"http://h:{text}/"):
        problem = url_problem(url)
        if problem is None:
            parsed = URL(url, encoded=True)
            assert parsed.host
            assert parsed.scheme in ("http", "https")
            assert parsed.user is None
            assert not any(ord(char) <= 0x20 for char in url)
