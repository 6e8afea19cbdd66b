from __future__ import annotations

import pytest

from proxy.ground import freshness
from proxy.ground.errors import IllegalArgument


@pytest.mark.parametrize("value", ["no-cache", " No-Cache "])
def test_a_request_can_ask_past_what_is_remembered(value):
    assert not freshness.is_wanted()
    with freshness.wanting(value):
        assert freshness.is_wanted()
    assert not freshness.is_wanted()


@pytest.mark.parametrize("value", ["", "no-store", "max-age=0"])
def test_another_value_is_refused(value):
    with pytest.raises(IllegalArgument, match=r"must be \[no-cache\]"):
        freshness.wanting(value)
