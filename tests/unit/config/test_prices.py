from __future__ import annotations

import re

import pytest

from proxy.config import ConfigError, load_config
from proxy.config.prices import NO_PRICES, Price, Prices


def test_the_first_that_fits_counts():
    prices = Prices(["my-chat=0.15/0.60", "my-*= 0.02", "*=1"])
    assert prices.of("my-chat") == Price(0.15, 0.60)
    assert prices.of("my-embeddings") == Price(0.02, 0.02)
    assert prices.of("other") == Price(1, 1)
    assert Prices(["a=1"]).of("b") is None


def test_there_may_be_none():
    assert not NO_PRICES
    assert NO_PRICES.of("a") is None
    assert Prices(["a=0"])


@pytest.mark.parametrize(
    "text", ["a", "a=", "=1", "a=-1", "a=1/", "a=1/2/3", "A=1", "a=1e5", "a=x"]
)
def test_what_is_no_price_is_refused(text, tmp_path):
    with pytest.raises(ValueError, match=re.escape(text)):
        Prices([text])
    file = tmp_path / "proxy.yml"
    file.write_text(f"provider: {{prices: ['{text}']}}")
    told = rf"\[provider.prices\] must be ID=PRICE or ID=INPUT/OUTPUT, not \[{text}\]"
    with pytest.raises(ConfigError, match=told):
        load_config(file, {})
