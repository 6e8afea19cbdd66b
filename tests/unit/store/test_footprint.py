from __future__ import annotations

from dataclasses import replace

from proxy.store.footprint import bytes_of_texts
from tests.support.samples import make_endpoint


def size(inference_id: str) -> int:
    return bytes_of_texts(replace(make_endpoint(), inference_id=inference_id))


def test_a_longer_text_takes_so_much_more():
    assert size("x" * 1000) - size("x" * 10) == 990


def test_one_wide_character_makes_each_take_four():
    assert size("x" * 999 + "\U0001f600") > 4 * 1000
