"""What is said of names that are no keys."""

from __future__ import annotations

import pytest

from proxy.config.mistakes import section_expected, unknown, value_expected
from proxy.config.values import KEYS, SECTIONS


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("upstream.ulr", "unknown key [upstream.ulr]; did you mean [upstream.url]?"),
        ("UPSTREAM.URL", "did you mean [upstream.url]?"),
        ("upstream.check-timeout", "did you mean [upstream.check_timeout]?"),
        ("upstrem", "did you mean [upstream]?"),
        ("xyzzy", "unknown key [xyzzy]: `check --config-only` shows all keys"),
    ],
)
def test_the_nearest_keys_are_named(name: str, text: str):
    assert text in str(unknown(name))


def test_a_key_in_the_wrong_section_is_found_in_its_own():
    text = str(unknown("listen.keep_warm"))
    assert "[provider.keep_warm]" in text


def test_a_secret_in_the_place_of_a_name_is_not_shown():
    assert "hf_abcdefghijklmnopqrstuvwxyz01" not in str(unknown("hf_abcdefghijklmnopqrstuvwxyz01"))


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_has_keys(section: str):
    text = str(section_expected(section))
    assert text.startswith(f"[{section}] is a section")
    example = text.partition("`")[2].partition("`")[0]
    key = example.replace(": {", ".").partition(":")[0]
    assert any(name == key or name.startswith(f"{key}.") for name in KEYS)


@pytest.mark.parametrize(
    ("key", "written"), [("listen", "`listen: …`"), ("upstream.url", "`upstream: {url: …}`")]
)
def test_a_key_has_a_value(key: str, written: str):
    assert written in str(value_expected(key))
