"""The search for secrets finds them: a test that finds none has looked."""

from __future__ import annotations

import random
from base64 import b64encode, urlsafe_b64encode

import pytest

from tests.support.traces import files_below, found_in, spellings

SECRET = "hf_S3cret+t0ken/with~odd=chars"
KEY = bytes(range(200, 232))


@pytest.mark.parametrize("lead", range(4))
@pytest.mark.parametrize("secret", [SECRET, KEY], ids=["token", "key"])
@pytest.mark.parametrize("spelling", [name for name, _ in spellings(SECRET)])
def test_it_finds_what_is_there(spelling, secret, lead):
    noise = random.Random(lead)
    haystack = noise.randbytes(1000 + lead) + dict(spellings(secret))[spelling] + noise.randbytes(9)
    assert f"it stands in a file, {spelling}" in found_in({"a file": haystack}, {"it": secret})


@pytest.mark.parametrize("lead", range(5))
def test_it_finds_what_a_longer_text_was_encoded_with(lead):
    text = b"x" * lead + SECRET.encode() + b"and more"
    for encoded in (b64encode(text), urlsafe_b64encode(text), text.hex().encode()):
        assert found_in({"a file": encoded}, {"it": SECRET})


def test_it_finds_nothing_where_nothing_is(tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "file").write_bytes(random.Random(0).randbytes(100_000))
    files = files_below(tmp_path)
    assert len(files) == 1
    assert found_in(files, {"it": SECRET, "the key": KEY}) == []
