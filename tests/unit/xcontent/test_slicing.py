"""Parts of JSON as the bytes that they are written in."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given

from proxy.xcontent.slicing import members
from tests.support.samples import json_objects

HUGE = b"123456789012345678901234567890"
ODD = rb'{"a" : 1e400, "b\"}": [1, {"x": "]"}], "c": %b,"\ud800":"\ud800"}' % HUGE


def sliced(data: bytes) -> dict[str, bytes]:
    return {one.name: data[one.at : one.end] for one in members(data)}


@given(json_objects)
def test_the_members_of_an_object_are_all_there(document: Any) -> None:
    for data in (orjson.dumps(document), json.dumps(document, indent=1).encode()):
        found = sliced(data)
        assert {name: orjson.loads(value) for name, value in found.items()} == orjson.loads(data)


def test_values_are_as_they_were_written() -> None:
    found = sliced(ODD)
    assert found["a"] == b"1e400"
    assert found['b"}'] == b'[1, {"x": "]"}]'
    assert found["c"] == HUGE
    assert list(found.values())[-1] == rb'"\ud800"'


@pytest.mark.parametrize("data", [b"[1]", b"7", b'"x"', b"null"])
def test_what_is_no_object_has_no_members(data: bytes) -> None:
    assert list(members(data)) == []


@pytest.mark.parametrize("data", [b'{"a":', b'{"a":[1', b'{"a":{"b":1}'])
def test_what_does_not_end_is_no_json(data: bytes) -> None:
    with pytest.raises(ValueError, match="value"):
        list(members(data))
