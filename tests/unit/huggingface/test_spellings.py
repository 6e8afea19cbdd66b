"""What is left of a text that repeats a token."""

from __future__ import annotations

import base64
from typing import Final
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ground.masking import MASK
from proxy.huggingface.spellings import hide_secret
from tests.support.samples import at_most
from tests.support.traces import found_in

TOKENS: Final = [
    "hf_DoNotShowThis0123456789",
    "hf_S3cret+t0ken/with~odd=chars",
    "8c2a1d0f-55aa-4c1e-9b7d",
]

LONG: Final = "hf_" + "".join(chr(65 + number * number % 26) + str(number) for number in range(999))


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


ENCODINGS: Final = {
    "bearer": lambda token: f"Bearer {token}",
    "upper": str.upper,
    "hex": lambda token: token.encode().hex(),
    "hex with prefixes": lambda token: " ".join(f"0x{byte:02X}" for byte in token.encode()),
    "hex with colons": lambda token: token.encode().hex(":"),
    "repr of bytes": lambda token: "".join(f"\\x{byte:02x}" for byte in token.encode()),
    "base64": base64_of,
    "base64 of a header": lambda token: base64_of(f"Bearer {token}"),
    "base64 of a pair": lambda token: base64_of(f"me:{token}"),
    "base64 of a pair and more": lambda token: base64_of(f"{token}:x"),
    "base64 without padding": lambda token: base64_of(f"x{token}").rstrip("="),
    "base64 for URLs": lambda token: base64.urlsafe_b64encode(f"~{token}?>".encode()).decode(),
    "base64 in lines": lambda token: base64.encodebytes((token * 3).encode()).decode(),
    "base64 in a URL": lambda token: quote(base64_of(token), safe=""),
    "URL": lambda token: quote(token, safe=""),
    "URL throughout": lambda token: "".join(f"%{byte:02x}" for byte in token.encode()),
    "URL twice": lambda token: quote("".join(f"%{byte:02x}" for byte in token.encode())),
    "JSON": lambda token: "".join(f"\\u{ord(char):04x}" for char in token),
    "JSON in part": lambda token: f"\\u{ord(token[0]):04x}" + token[1:].replace("/", "\\/"),
    "HTML": lambda token: "".join(f"&#{ord(char)};" for char in token),
    "UTF-16": lambda token: base64.b64encode(token.encode("utf-16-le")).decode(),
    "hex of base64": lambda token: base64_of(token).encode().hex(),
}


class TestTokensThatAreRepeated:
    @pytest.mark.parametrize("token", [*TOKENS, "secret", "my pass word"])
    @pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
    def test_no_copy_is_left(self, encode, token):
        for around in ("bad key {}", "{}", 'x={}&y="{}"', "Invalid:{}!"):
            text = around.replace("{}", encode(token))
            left = hide_secret(token, text)
            assert MASK in left
            assert not found_in({"what is left": left.encode()}, {"it": token})
            assert encode(token) not in left

    @pytest.mark.parametrize("encoding", ENCODINGS)
    def test_no_part_of_a_long_one_is_left(self, encoding):
        encoded = ENCODINGS[encoding](LONG)
        left = hide_secret(LONG, f"bad key {encoded}")
        assert MASK in left
        parts = {encoded[start : start + 20] for start in range(0, len(encoded), 20)}
        assert not any(part in left for part in parts if len(part) == 20)

    def test_a_long_one_that_is_cut_off_is_hidden_to_the_end(self):
        assert hide_secret(LONG, f"bad key {LONG[:2000]}") == f"bad key {MASK}"
        assert hide_secret(LONG, f"bad key {LONG} is bad") == f"bad key {MASK} is bad"

    def test_what_stands_around_it_is_kept(self):
        text = f"no access with {base64_of(TOKENS[0])} to this model"
        assert hide_secret(TOKENS[0], text) == f"no access with {MASK} to this model"

    @given(st.text(max_size=200))
    def test_other_texts_stay_as_they_are(self, text):
        assert hide_secret(TOKENS[0], text) == text

    @pytest.mark.parametrize("token", ["", "k", "ab"])
    def test_a_token_that_says_little_hides_little(self, token):
        assert hide_secret(token, "e5 c0ffee Zm9v") == "e5 c0ffee Zm9v"

    @pytest.mark.parametrize("piece", ["ab" * 20, "%2525", "\\u005c", "&amp;", "QUJD", "x 0x61:"])
    def test_no_text_takes_long(self, piece):
        with at_most(1):
            hide_secret(TOKENS[0], piece * (5000 // len(piece)))

    @pytest.mark.parametrize(
        ("token", "text"),
        [
            ("token", "must have less than 512 tokens, not max_tokens"),
            ("model", "remodel the models: model_id"),
            ("secret", "no secrets here, and no%20secretary &amp; c"),
            ("completion", "chat_completion completions"),
            ("k", "ok, kk"),
        ],
    )
    def test_a_token_that_is_a_word_is_not_found_in_others(self, token, text):
        assert hide_secret(token, text) == text

    @pytest.mark.parametrize("token", ["token", "model", "secret", "completion", "k", "~k!"])
    @pytest.mark.parametrize("around", ["{}", "bad key {}.", "x={}&y", '"{}"', "Bearer {}", "({})"])
    def test_a_token_that_is_a_word_is_hidden_as_one(self, token, around):
        assert hide_secret(token, around.replace("{}", token)) == around.replace("{}", MASK)

    @pytest.mark.parametrize("token", TOKENS)
    def test_what_looks_like_a_token_is_hidden_within_words(self, token):
        assert token not in hide_secret(token, f"x{token}y")
