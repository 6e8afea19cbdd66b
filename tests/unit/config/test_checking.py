"""The rules for values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import ConfigError, load_config, split_address


def refused(*, flags):
    with pytest.raises(ConfigError) as caught:
        load_config(None, {}, flags)
    return str(caught.value)


class TestRules:
    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            ({"workers": 0}, "[workers] must be 1 or more"),
            ({"listen": "9200"}, "[9200] is not HOST:PORT"),
            ({"listen": "h:70000"}, "[h:70000] is not HOST:PORT"),
            (
                {"listen": "0.0.0.0:9201", "admin.listen": "localhost:9201"},
                "[listen] and [admin.listen] need different ports",
            ),
            ({"compatibility": "7"}, "[compatibility] must be one of 8.19, 9.2, 9.5, 9.6"),
            ({"log.format": "xml"}, "[log.format] must be text or json"),
            ({"log.level": "loud"}, "[log.level] must be debug, info, warning or error"),
            ({"provider.model_guard": "off"}, "[provider.model_guard] must be warn or refuse"),
            ({"store.kind": "redis"}, "[store.kind] must be elasticsearch or sqlite:PATH"),
            ({"store.kind": "sqlite:"}, "[store.kind] must be elasticsearch or sqlite:PATH"),
            (
                {"upstream.url": " , "},
                "[upstream.url] is empty: name Elasticsearch's address, or leave it out",
            ),
            ({"store.kind": "elasticsearch"}, "[store.kind] elasticsearch needs [upstream.url]"),
        ],
    )
    def test_a_bad_value_is_told_in_one_line(self, flags, message):
        assert refused(flags=flags) == message

    @pytest.mark.parametrize(
        "url",
        [
            "es:9200",
            "ftp://es",
            "http://",
            "http://es/path",
            "http://es?q",
            "http://es#f",
            "//es",
            "http://es:99999",
            "http://es:x",
        ],
    )
    def test_an_upstream_is_a_bare_http_address(self, url):
        message = "[upstream.url] must be http(s)://HOST:PORT, with no path"
        assert refused(flags={"upstream.url": url}) == message

    def test_an_upstream_holds_no_user_and_is_not_quoted(self):
        message = refused(flags={"upstream.url": "http://user:s3cret@es:9200"})
        assert "user name" in message
        assert "s3cret" not in message

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("provider.concurrency", 0),
            ("provider.max_batch_inputs", 0),
            ("provider.max_response_bytes", -1),
            ("provider.timeout", "nan"),
            ("provider.retry_initial_delay", -1),
            ("limits.inference_body", 0),
            ("store.freshness", "nan"),
        ],
    )
    def test_numbers_have_bounds(self, key, value):
        assert key in refused(flags={key: value})


class TestOwnUpstream:
    @pytest.mark.parametrize(
        ("listen", "url"),
        [
            ("127.0.0.1:9200", "http://127.0.0.1:9200"),
            ("127.0.0.1:9200", "http://localhost:9200"),
            ("127.0.0.1:9200", "http://0.0.0.0:9200"),
            ("127.0.0.1:9200", "http://[::ffff:127.0.0.1]:9200"),
            ("localhost:9200", "https://127.0.0.1:9200"),
            ("localhost:9200", "http://LOCALHOST.:9200"),
            ("0.0.0.0:9200", "http://localhost:9200"),
            ("0.0.0.0:9200", "http://127.0.0.2:9200"),
            ("[::]:9200", "http://127.0.0.1:9200"),
            ("[::1]:80", "http://localhost"),
            ("es.example:443", "https://ES.example"),
            ("127.0.0.1:1", "http://other:9200,http://localhost:1"),
            (":9200", "http://127.0.0.1:9200"),
        ],
    )
    @pytest.mark.parametrize("key", ["listen", "admin.listen"])
    def test_the_proxy_cannot_be_its_own(self, key, listen, url):
        message = f"[upstream.url] is the proxy's own address, [{key}]: name Elasticsearch's"
        assert refused(flags={key: listen, "upstream.url": url}) == message

    def test_not_even_at_the_address_that_admin_has_by_default(self):
        assert "[admin.listen]" in refused(flags={"upstream.url": "http://localhost:9280"})
        flags = {"upstream.url": "http://localhost:9280", "admin.listen": ""}
        assert load_config(None, {}, flags).upstream.url == "http://localhost:9280"

    @pytest.mark.parametrize(
        ("listen", "url"),
        [
            ("127.0.0.1:9201", "http://127.0.0.1:9200"),
            ("127.0.0.1:9200", "http://127.0.0.2:9200"),
            ("0.0.0.0:9200", "http://10.0.0.5:9200"),
            ("0.0.0.0:9200", "http://elasticsearch:9200"),
            ("127.0.0.1:0", "http://127.0.0.1:9200"),
            ("[::1]:9200", "http://127.0.0.1:9200"),
        ],
    )
    def test_elasticsearch_may_be_anywhere_else(self, listen, url):
        flags = {"listen": listen, "upstream.url": url, "admin.listen": ""}
        assert load_config(None, {}, flags).upstream.urls == [url]


class TestIndexNames:
    @pytest.mark.parametrize(
        ("index", "rule"),
        [
            ("", "not empty, [.] or [..]"),
            (".", "not empty, [.] or [..]"),
            ("..", "not empty, [.] or [..]"),
            *((f"a{sign}b", f"without [{sign}]") for sign in '\\/*?"<>| ,#:'),
            *((f"{sign}a", f"not beginning with [{sign}]") for sign in "_-+"),
            ("Endpoints", "in lower case"),
            ("é" * 128, "of 255 bytes at most"),
        ],
    )
    def test_an_index_cannot_have_every_name(self, index, rule):
        message = f"[store.index] must be a name that an index can have: {rule}"
        assert refused(flags={"store.index": index}) == message

    @pytest.mark.parametrize("index", ["a", ".hidden", "a-b_c+d.1", "é" * 127, "...", "a'b"])
    def test_odd_ones_are_taken(self, index):
        assert load_config(None, {}, {"store.index": index}).store.index == index


class TestAddresses:
    @pytest.mark.parametrize(
        ("address", "pair"),
        [
            ("h:1", ("h", 1)),
            ("127.0.0.1:65535", ("127.0.0.1", 65535)),
            ("[::1]:9200", ("::1", 9200)),
            (":9200", ("127.0.0.1", 9200)),
            ("h:0", ("h", 0)),
        ],
    )
    def test_have_a_host_and_a_port(self, address, pair):
        assert split_address(address) == pair

    @pytest.mark.parametrize("address", ["", "h", "h:", "h:x", "h:-1", "h:65536", "h:1.5"])
    def test_must_have_both(self, address):
        with pytest.raises(ConfigError, match="is not HOST:PORT"):
            split_address(address)

    def test_a_port_is_made_of_plain_digits(self):
        with pytest.raises(ConfigError):
            split_address("h:²")

    @given(st.text(max_size=12))
    def test_any_text_is_an_address_or_refused(self, text):
        try:
            host, port = split_address(text.replace("²", ""))
        except (ConfigError, ValueError):
            return
        assert host
        assert 0 <= port <= 65535
