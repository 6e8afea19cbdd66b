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
            ({"compatibility": "7"}, "[compatibility] must be one of 8.19, 9.2, 9.5, 9.6"),
            ({"log.format": "xml"}, "[log.format] must be text or json"),
            ({"log.level": "loud"}, "[log.level] must be debug, info, warning or error"),
            ({"store.kind": "redis"}, "[store.kind] must be elasticsearch or sqlite:PATH"),
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
