"""When garbage in cycles is looked for."""

import asyncio
import gc
import weakref

import pytest

from proxy.serving.garbage import EARLIEST, LATEST, QuietCollection

BUSY, QUIET = 0.02, 0.001  # seconds by which a tick is late


class Process:
    """What a process has made, and the looks that were taken at it."""

    def __init__(self):
        self.counts = (0, 0, 0)
        self.looks: list[int] = []
        self._collection = QuietCollection(lambda: self.counts, self.looks.append)

    def pass_ticks(self, count, *, late):
        for _ in range(count):
            self._collection.look(late=late)


@pytest.fixture
def process():
    return Process()


def test_nothing_is_looked_at_where_little_was_made(process):
    process.counts = (9_999, 11, 101)
    process.pass_ticks(2 * LATEST, late=QUIET)
    assert process.looks == []


def test_a_look_waits_until_much_is_gone_and_for_a_quiet_moment(process):
    process.counts = (170_000, 0, 0)
    process.pass_ticks(EARLIEST - 1, late=QUIET)
    process.pass_ticks(5, late=BUSY)
    assert process.looks == []
    process.pass_ticks(1, late=QUIET)
    assert process.looks == [0]
    process.pass_ticks(EARLIEST - 1, late=QUIET)
    assert process.looks == [0]


def test_a_look_does_not_wait_for_ever(process):
    process.counts = (20_000, 0, 0)
    process.pass_ticks(LATEST - 1, late=BUSY)
    assert process.looks == []
    process.pass_ticks(LATEST, late=BUSY)
    assert process.looks == [0]


def test_a_burst_that_has_left_nothing_does_not_count(process):
    for made in (20_000, 0, 20_000):
        process.counts = (made, 0, 0)
        process.pass_ticks(EARLIEST - 1, late=QUIET)
    assert process.looks == []


@pytest.mark.parametrize(
    ("counts", "generation"),
    [((10_000, 10, 101), 0), ((10_000, 11, 100), 1), ((10_000, 11, 101), 2)],
)
def test_older_objects_get_their_turn(process, counts, generation):
    process.counts = counts
    process.pass_ticks(EARLIEST, late=QUIET)
    assert process.looks == [generation]


@pytest.fixture
def own_thresholds():
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


class Link:
    def __init__(self):
        self.me = self


async def test_cycles_are_found_while_nothing_else_happens(own_thresholds):
    gc.collect()
    QuietCollection().begin()
    found = asyncio.Event()
    links = [Link() for _ in range(20_000)]
    weakref.finalize(links[-1], found.set)
    links.clear()
    async with asyncio.timeout(10):
        await found.wait()
