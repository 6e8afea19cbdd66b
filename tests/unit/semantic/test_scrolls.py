"""Ids of scrolls that say what further pages show."""

from __future__ import annotations

import zlib
from base64 import urlsafe_b64encode
from typing import Any, Final

import orjson
import pytest

from proxy.semantic.highlights import Highlight, Shown, Sought, Within
from proxy.semantic.scrolls import again, asked_by, own, says_more, with_asked
from proxy.semantic.shownhits import Where
from tests.unit.semantic.targets import semantic_field

BY_PATH = {"body": {"a": semantic_field()}}
WHERE = Where(expression="a,b*", parameters={"ignore_unavailable": "true"})


def highlight(**more: Any) -> Highlight:
    given: dict[str, Any] = {"number": 2, "by_score": True, "sought": (), **more}
    return Highlight(name="body", found=BY_PATH["body"], **given)


SOUGHT = (
    Sought(vector=[0.5, -1.25], chunks="xinf.body.chunks.embeddings"),
    Sought(vector={"sea": 0.1, "a.b": 2.0}, chunks="xinf.body.chunks.embeddings"),
    Sought(vector=None, indices=frozenset({"a"})),
)
SHOWN = Shown(
    highlights=[highlight(sought=SOUGHT), highlight(by_score=False)],
    chunks={"body": BY_PATH["body"]},
    unnamed={"gone": {}},
    within=[Within(name="i", in_buckets=True, shown=Shown(highlights=[highlight()]))],
)


def test_an_id_says_what_its_search_asked_for():
    made = with_asked("abc=", SHOWN, WHERE)
    assert own(made) == "abc="
    assert says_more(made)
    asked = asked_by(made)
    assert asked is not None
    assert asked.where == WHERE
    assert asked.restored(BY_PATH) == SHOWN
    assert asked_by(again("next", made)) == asked
    assert own(again("next", made)) == "next"


def test_fields_are_those_that_there_are_by_then():
    asked = asked_by(with_asked("abc", SHOWN, WHERE))
    assert asked is not None
    assert [one.found for one in asked.restored({}).highlights] == [{}, {}]


def test_several_ids_are_told_apart():
    made = with_asked("abc", SHOWN, WHERE)
    assert own(f"{made},def,{made}") == "abc,def,abc"
    assert not says_more("abc,def")


def packed(value) -> str:
    return f"abc.h1.{urlsafe_b64encode(zlib.compress(orjson.dumps(value))).decode()}"


GOOD: Final[dict[str, Any]] = {"e": None, "p": {}}


@pytest.mark.parametrize(
    "forged",
    ["abc", "abc.h1.", "abc.h1.!", "abc.h1.AAAA", packed([]), packed({"e": 1}), packed(GOOD)],
)
def test_what_is_none_says_nothing(forged):
    assert asked_by(forged) is None
    assert own(forged) == "abc"


@pytest.mark.parametrize(
    "shown",
    [
        {},
        {"h": 1, "c": [], "u": [], "w": []},
        {"h": [[[], 1, True, []]], "c": [], "u": [], "w": []},
        {"h": [["body", "x", True, []]], "c": [], "u": [], "w": []},
        {"h": [["body", 1, True, [["AAA=", "", None]]]], "c": [], "u": [], "w": []},
        {"h": [["body", 1, True, [[{"sea": "x"}, "", None]]]], "c": [], "u": [], "w": []},
        {"h": [], "c": [{}], "u": [], "w": []},
        {"h": [], "c": [], "u": [], "w": [["i", True, {}]]},
    ],
)
def test_what_is_forged_shows_nothing(shown):
    asked = asked_by(packed({**GOOD, "s": shown}))
    assert asked is not None
    assert not asked.restored(BY_PATH)
