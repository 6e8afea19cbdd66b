"""What every key says about itself."""

from __future__ import annotations

import pytest

from proxy.config.values import KEYS


@pytest.mark.parametrize("key", KEYS.values(), ids=lambda key: key.name)
def test_each_has_a_text_of_one_line_and_numbers_have_units(key):
    assert len(key.text) <= 100
    assert not key.text.endswith(".")
    assert key.kind is not float or key.unit == "seconds" or key.name.endswith("_distance")
    assert not key.name.endswith(("_bytes", "_timeout")) or key.unit
