"""What a search asked for, packed for its later answers."""

from __future__ import annotations

import zlib
from base64 import urlsafe_b64encode
from typing import Any, Final

import orjson
import pytest

from proxy.semantic.asked import Asked, unpacked
from proxy.semantic.highlights import Found, Highlight, Shown, Sought, Within
from proxy.semantic.shownhits import Where
from tests.unit.semantic.targets import semantic_field
from tests.unit.semantic.test_pits import REAL

BY_PATH: Final[dict[str, Found]] = {"body": {"a": semantic_field()}}
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
    formats={"body": "x"},
    unnamed={"gone": {}},
    within=[Within(name="i", in_buckets=True, shown=Shown(highlights=[highlight()]))],
)


def test_what_is_packed_comes_back():
    asked = Asked.of(SHOWN, WHERE)
    found = unpacked(asked.packed())
    assert found == asked
    assert found is not None
    assert found.restored(BY_PATH) == SHOWN


def test_fields_are_those_that_there_are_by_then():
    asked = Asked.of(SHOWN, WHERE)
    assert [one.found for one in asked.restored({}).highlights] == [{}, {}]


def test_who_asked_for_nothing_has_nothing_to_send_along():
    assert not Asked.of(Shown(), WHERE)
    assert Asked.of(SHOWN, WHERE)


@pytest.mark.parametrize(
    ("shown", "answer"),
    [
        (SHOWN, True),
        (Shown(), False),
        (Shown(unnamed=BY_PATH), False),
        (Shown(chunks=BY_PATH), True),
        (Shown(within=[Within(name="i", in_buckets=True, shown=Shown(unnamed=BY_PATH))]), False),
        (Shown(within=[Within(name="i", in_buckets=True, shown=Shown(chunks=BY_PATH))]), True),
    ],
)
def test_whether_fields_are_asked_for_by_name(shown: Shown, answer: bool):
    assert Asked.of(shown, WHERE).names_fields is answer


def test_a_point_in_time_may_be_over_by_then():
    found = unpacked(Asked.of(SHOWN, Where(expression=None, pit={"id": REAL})).packed())
    assert found is not None
    assert found.where == Where(expression="q-a,q-b")


def packed(value: Any) -> str:
    return urlsafe_b64encode(zlib.compress(orjson.dumps(value))).decode()


GOOD: Final[dict[str, Any]] = {"e": None, "p": {}}


@pytest.mark.parametrize(
    "forged",
    ["", "!", "AAAA", packed([]), packed({"e": 1}), packed(GOOD)],
)
def test_what_is_none_says_nothing(forged):
    assert unpacked(forged) is None


@pytest.mark.parametrize(
    "shown",
    [
        {},
        {"h": [], "c": [], "f": [], "u": [], "w": []},
        {"h": 1, "c": [], "f": {}, "u": [], "w": []},
        {"h": [[[], 1, True, []]], "c": [], "f": {}, "u": [], "w": []},
        {"h": [["body", "x", True, []]], "c": [], "f": {}, "u": [], "w": []},
        {"h": [["body", 1, True, [["AAA=", "", None]]]], "c": [], "f": {}, "u": [], "w": []},
        {"h": [["body", 1, True, [[{"sea": "x"}, "", None]]]], "c": [], "f": {}, "u": [], "w": []},
        {"h": [], "c": [{}], "f": {}, "u": [], "w": []},
        {"h": [], "c": [], "f": {}, "u": [], "w": [["i", True, {}]]},
    ],
)
def test_what_is_forged_shows_nothing(shown):
    asked = unpacked(packed({**GOOD, "s": shown}))
    assert asked is not None
    assert not asked.restored(BY_PATH)
