from __future__ import annotations

import pytest

from proxy.ground.errors import IllegalArgument
from proxy.rest.parameters import read_boolean, refuse_unknown, whole_number
from tests.support.requests import request_of
from tests.support.samples import at_most


@pytest.mark.parametrize(
    ("target", "value"),
    [
        ("/x", False),
        ("/x?a", True),
        ("/x?a=", True),
        ("/x?a=true", True),
        ("/x?a=false", False),
    ],
)
def test_booleans_may_stand_alone(target, value):
    assert read_boolean(request_of(target).parameters, "a") is value


@pytest.mark.parametrize("value", ["1", "True", "yes", "maybe"])
def test_other_booleans_are_refused(value):
    with pytest.raises(IllegalArgument, match="as only"):
        read_boolean({"a": value}, "a")


@pytest.mark.parametrize(
    ("text", "number"), [("12", 12), ("٣", 3), ("", None), ("-1", None), ("1" * 5000, None)]
)
def test_whole_numbers(text: str, number: int | None):
    assert whole_number(text) == number


def test_unknown_ones_are_sorted_and_their_likes_suggested():
    rest = request_of("/p?timeot=1&foo=2&pretty&filter_path=x&human&format=json&error_trace")
    with pytest.raises(IllegalArgument) as caught:
        refuse_unknown(rest.parameters, ["timeout"], rest.path)
    assert caught.value.reason == (
        "request [/p] contains unrecognized parameters: [foo], [timeot] -> did you mean [timeout]?"
    )


def test_of_thousands_the_first_are_named_and_the_others_counted():
    names = [f"inference{number}" for number in range(8000)]
    with at_most(1), pytest.raises(IllegalArgument) as caught:
        refuse_unknown(names, ["inference_id", "timeout"], "/p")
    assert caught.value.reason.count("did you mean") >= 15
    assert caught.value.reason.endswith(", and [7980] more")


def test_one_is_told_in_the_singular():
    with pytest.raises(IllegalArgument, match=r"unrecognized parameter: \[foo\]$"):
        refuse_unknown(["foo"], [], "/p")
    refuse_unknown(["pretty"], [], "/p")
