from __future__ import annotations

from proxy.semantic.bounded import Bounded


def test_the_oldest_goes_first():
    known: Bounded[str, int] = Bounded(2)
    assert [known.keep(key, value) for value, key in enumerate("abc")] == [0, 1, 2]
    assert known == {"b": 1, "c": 2}


def test_an_entry_that_is_put_again_takes_no_second_place():
    known: Bounded[str, int] = Bounded(2)
    for key, value in (("a", 0), ("b", 1), ("a", 2)):
        known.keep(key, value)
    assert known == {"a": 2, "b": 1}
