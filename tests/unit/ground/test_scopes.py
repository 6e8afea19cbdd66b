from __future__ import annotations

from contextvars import ContextVar

import pytest

from proxy.ground.scopes import Scope

variable: ContextVar[str] = ContextVar("variable", default="none")


def test_the_value_lasts_as_long_as_the_scope():
    with Scope(variable, "outer"):
        with Scope(variable, "inner"):
            assert variable.get() == "inner"
        assert variable.get() == "outer"
    assert variable.get() == "none"


def test_an_error_ends_it_and_passes():
    with pytest.raises(KeyError), Scope(variable, "outer"):
        raise KeyError
    assert variable.get() == "none"
