from __future__ import annotations

from proxy.xcontent.filterpath import parse_filter
from proxy.xcontent.formats import WRITERS
from proxy.xcontent.numbers import Numbers, WrittenNumber, WrittenObject
from proxy.xcontent.weighing import weight
from proxy.xcontent.writing import dump_json, dump_pretty


def test_a_number_keeps_how_it_was_written():
    number = WrittenNumber("1.000000000000000000001")
    assert number == 1.0
    assert number.json == b"1.000000000000000000001"


def test_numbers_are_a_sequence_of_floats():
    numbers = Numbers.of([1, 0.25, -2])
    assert numbers.json == b"[1.0,0.25,-2.0]"
    assert list(numbers) == numbers.to_list() == [1.0, 0.25, -2.0]
    assert (len(numbers), numbers[1], numbers[1:]) == (3, 0.25, [0.25, -2.0])


def test_equal_numbers_are_one_key():
    assert len({Numbers.of([1.0]), Numbers.of([1]), Numbers.of([2.0])}) == 2


def test_an_object_keeps_how_it_was_written_for_those_who_want_it_so():
    members = {"a": Numbers.of([1.0]), "b": 2}
    written = WrittenObject.of(members, b"as written")
    assert written == members
    assert dump_json(written) == WRITERS["json"](written) == b"as written"
    assert weight(written, 1) == len(b"as written")
    for write in (dump_pretty, WRITERS["yaml"], WRITERS["cbor"]):
        assert write(written) == write(members)
    selected = parse_filter("b").apply(written)
    assert dump_json(selected) == b'{"b":2}'
