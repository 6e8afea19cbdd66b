from __future__ import annotations

from proxy.xcontent.numbers import Numbers, WrittenNumber


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
