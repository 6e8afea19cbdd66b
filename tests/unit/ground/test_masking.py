"""What errors quote of a configuration."""

from __future__ import annotations

import json
from typing import Final

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ground.errors import ProxyError
from proxy.ground.masking import MASK, bare_url, is_harmless, is_secret, shown_name, shown_value
from proxy.ground.quoting import quoted_part
from tests.support.bodies import read_body
from tests.support.malformed import MALFORMED_YAML
from tests.support.samples import at_most
from tests.support.traces import found_in

TOKENS: Final = [
    "hf_DoNotShowThis0123456789",
    "hf_S3cret+t0ken/with~odd=chars",
    "8c2a1d0f-55aa-4c1e-9b7d",
]


MALFORMED: Final = [
    '{"api_key" "TOKEN"}',
    '{"api_key":TOKEN}',
    "{\"api_key\":'TOKEN'}",
    '{api_key:"TOKEN"}',
    "{'api_key':\"TOKEN\"}",
    '{"api_key":"TOKEN}',
    '{"api_key":"TOKEN\n"}',
    '{"api_key":"TOKEN\\x"}',
    '{"api_key":"TOKEN",}',
    '{"API-Key":"TOKEN",}',
    '{"token":"TOKEN",}',
    '{"\\u0061pi_key":"TOKEN",}',
    '{"api_key":["TOKEN"}',
    '{"TOKEN":1,"TOKEN":2}',
    '{"TOKEN"}',
    '{"api_key":"TOKEN"} /',
    "TOKEN",
    '"TOKEN',
    "[TOKEN]",
    '{"api_key":/*"TOKEN"',
    '{"api_key":-TOKEN}',
    '{"api_key":t"TOKEN"}',
]


class TestMalformedConfigurations:
    """There is a token somewhere in each."""

    @pytest.mark.parametrize("token", TOKENS)
    @pytest.mark.parametrize("codec", ["utf-8", "utf-16", "utf-32-be"])
    @pytest.mark.parametrize("body", MALFORMED)
    def test_json_is_not_quoted(self, body, codec, token):
        data = body.replace("TOKEN", token).encode(codec)
        error = read_body(data).error
        if error is None:
            assert body in ('{"api_key":"TOKEN"} /',)  # what follows is not read
        else:
            assert not quoted(error, token)

    @given(st.data())
    def test_no_damage_brings_it_out(self, data):
        token = TOKENS[0]
        settings = {"api_key": token, "url": "http://h/"}
        whole = bytearray(json.dumps({"service": "x", "service_settings": settings}).encode())
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(st.integers(0, len(whole) - 1))
            whole[at : at + 1] = data.draw(st.binary(max_size=2))
        error = read_body(bytes(whole)).error
        assert error is None or not quoted(error, token)
        assert error is None or token[:8] not in str(error.envelope())

    @pytest.mark.parametrize("body", MALFORMED_YAML)
    def test_yaml_is_not_quoted(self, body):
        token = "hfDoNotShowThis0123456789"
        error = read_body(body.replace("TOKEN", token).encode(), "yaml").error
        assert error is not None
        assert not quoted(error, token)

    def test_what_pyyaml_says_is_kept(self):
        error = read_body(b"a: [1", "yaml").error
        assert error is not None
        assert error.reason == "[1:6] expected ',' or ']', but got '<stream end>'"

    def test_cbor_is_not_quoted(self):
        token = TOKENS[0]
        for data in (
            cbor2.dumps({"api_key": token})[:-1],
            cbor2.dumps({"api_key": [token.encode()]}),
            cbor2.dumps(cbor2.CBORTag(2, token)),
        ):
            error = read_body(data, "cbor").error
            assert error is not None
            assert not quoted(error, token)

    @pytest.mark.parametrize("body", ["{service:1}", '{"service":', '{"service" "hugging_face"}'])
    def test_what_holds_no_token_is_quoted_as_elsewhere(self, body):
        with_care = read_body(body.encode()).error
        without_care = read_body(body.replace("service", "serv").encode()).error
        assert with_care is not None
        assert without_care is not None
        quoted_here = str(with_care.envelope()).replace("service", "serv")
        assert f'(byte[])"{body}"'.replace("service", "serv") in quoted_here.replace('\\"', '"')

    def test_a_configuration_that_was_sent_elsewhere_is_known(self):
        body = f'{{"service":"hugging_face","service_settings":{{"api_key":"{TOKENS[0]}",}}}}'
        error = read_body(body.encode()).error
        assert error is not None
        assert not quoted(error, TOKENS[0])


def quoted(error: ProxyError, token: str) -> list[str]:
    return found_in({"an error": json.dumps(error.envelope()).encode()}, {"it": token})


class TestWellFormedConfigurations:
    @pytest.mark.parametrize(
        ("name", "value", "is_shown"),
        [
            ("model_id", "intfloat/e5-small-v2", True),
            ("similarity", "by_size_and_weight", True),
            ("url", "http://a b/c", True),
            ("url", "hf_DoNotShowThis0123456789", False),
            ("url", "http://user:hf_DoNotShow@h h/", False),
            ("url", "http://h h/?token=hf_DoNotShow", False),
            ("model_id", "hf_DoNotShowThis0123456789", False),
            ("other", "value", True),
            ("other", "8c2a1d0f-55aa", False),
            ("other", "an ordinary value of some length", True),
            ("model", "sentence-transformers/all-MiniLM-L6-v2", True),
            ("url", "not a url", True),
            ("access_token", "short", False),
            ("max_tokens", "128", True),
            ("extra_key", "a value", True),
            ("api_key", "short", False),
            ("Api-Key", "short", False),
        ],
    )
    def test_values(self, name, value, is_shown):
        assert shown_value(value, name) == (value if is_shown else MASK)

    @pytest.mark.parametrize("name", ["x1", "max_chunks_per_doc", "organization", "é"])
    def test_names_are_shown(self, name):
        assert shown_name(name) == name

    @pytest.mark.parametrize("name", [*TOKENS, "ab1" * 20])
    def test_what_is_no_name_is_not(self, name):
        assert shown_name(name) == MASK

    @pytest.mark.parametrize("part", ["x", "1", "x1 ", "aB"])
    def test_long_texts_are_looked_through_once(self, part):
        with at_most(2):
            assert shown_name(part * 500_000) in (quoted_part(part * 500_000), MASK)

    def test_a_long_name_is_judged_by_its_end(self):
        with at_most(1):
            assert is_secret("1" * 20_000_000 + "_api_key")
            assert not is_secret("1" * 20_000_000)

    def test_a_word_of_the_api_is_harmless_and_no_other(self):
        assert is_harmless(b'{"service":"hugging_face",[1,{}')
        assert not is_harmless(b'{"service":"x1"}')


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://h/p?key=s#f", "http://h/p"),
        ("https://me:s@h:1/p@q", "https://h:1/p@q"),
        ("http://h#s", "http://h"),
        ("h/p?s", "h/p"),
        ("s@h", "h"),
        ("http://h?a://s", "http://h"),
    ],
)
def test_a_url_is_logged_without_the_places_of_secrets(url, shown):
    assert bare_url(url) == shown
