"""Ids of scrolls that say what further pages show."""

from __future__ import annotations

from typing import Final

import pytest

from proxy.semantic.asked import Asked
from proxy.semantic.highlights import Shown
from proxy.semantic.scrolls import again, asked_by, own, says_more, with_asked
from proxy.semantic.shownhits import Where

ASKED: Final = Asked.of(Shown(formats={"body": "x"}), Where(expression="a,b*"))


def test_an_id_says_what_its_search_asked_for():
    made = with_asked("abc=", ASKED)
    assert own(made) == "abc="
    assert says_more(made)
    assert asked_by(made) == ASKED
    assert asked_by(again("next", made)) == ASKED
    assert own(again("next", made)) == "next"


def test_several_ids_are_told_apart():
    made = with_asked("abc", ASKED)
    assert own(f"{made},def,{made}") == "abc,def,abc"
    assert not says_more("abc,def")


@pytest.mark.parametrize("forged", ["abc", "abc.h1.", "abc.h1.!"])
def test_what_is_none_says_nothing(forged):
    assert asked_by(forged) is None
    assert own(forged) == "abc"
