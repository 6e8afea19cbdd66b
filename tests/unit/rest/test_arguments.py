"""The query parameters of a route: their values, in the order in which they are checked."""

import pytest

from proxy.ground.errors import IllegalArgument
from proxy.rest.arguments import Arguments, read_arguments


def read(target: str) -> Arguments:
    return read_arguments(("timeout",), ("force",), ("inference_id",), target)


def test_what_is_not_named_is_none_or_false():
    found = read("/_inference/a")
    assert found.times == {"timeout": None}
    assert found.flags == {"force": False, "pretty": False, "human": False}


def test_values_are_read():
    found = read("/_inference/a?timeout=2s&force&pretty=true&inference_id=b&filter_path=a")
    assert found.times == {"timeout": 2.0}
    assert found.flags == {"force": True, "pretty": True, "human": False}


@pytest.mark.parametrize(
    ("query", "named"),
    [("timeout=x&force=y&z", "timeout"), ("force=y&z", "y"), ("z&y", "[y], [z]")],
)
def test_times_come_first_and_unknown_names_last(query: str, named: str):
    with pytest.raises(IllegalArgument) as raised:
        read(f"/_inference/a?{query}")
    assert named in raised.value.reason
