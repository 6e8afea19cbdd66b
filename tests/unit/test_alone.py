"""Tests that are alone, and tests beside others."""

from __future__ import annotations

import fcntl
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from tests.support.turns import Turns
from tests.support.waiting import eventually


@pytest.fixture
def turns(tmp_path):
    return Turns(tmp_path)


@pytest.fixture
def pool():
    with ThreadPoolExecutor() as pool:
        yield pool


class Test:
    """One that is running until it may end."""

    __test__ = False

    def __init__(self, pool, turn):
        self.runs, self.may_end = Event(), Event()
        self._done = pool.submit(self._run, turn)

    def _run(self, turn):
        with turn:
            self.runs.set()
            assert self.may_end.wait(10)

    def end(self):
        self.may_end.set()
        self._done.result(10)


def is_locked(file):
    with file.open("a") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_several_run_side_by_side(turns, pool):
    tests = [Test(pool, turns.beside_others()) for _ in range(3)]
    assert all(test.runs.wait(10) for test in tests)
    for test in tests:
        test.end()


def test_one_that_is_alone_waits_for_the_others_and_they_for_it(turns, pool, tmp_path):
    first = Test(pool, turns.beside_others())
    assert first.runs.wait(10)
    alone = Test(pool, turns.alone())
    eventually(lambda: is_locked(tmp_path / "door"))
    assert not alone.runs.is_set()
    later = Test(pool, turns.beside_others())
    assert not later.runs.wait(0.05)  # or there might always be another one
    first.end()
    assert alone.runs.wait(10)
    assert not later.runs.is_set()
    alone.end()
    assert later.runs.wait(10)
    later.end()


def test_a_turn_that_goes_on_is_kept_for_the_next_test(turns, pool, tmp_path):
    first = Test(pool, turns.alone(goes_on=True))
    assert first.runs.wait(10)
    last = Test(pool, Turns(tmp_path).beside_others())
    first.end()
    assert not last.runs.wait(0.05)
    second = Test(pool, turns.alone())
    assert second.runs.wait(10)
    second.end()
    assert last.runs.wait(10)
    last.end()
