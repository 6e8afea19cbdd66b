"""When garbage in cycles is looked for."""

import asyncio
import gc
import weakref

import pytest

from proxy.serving.garbage import TICK, QuietCollection


class Process:
    """What a process has made and worked, and the looks that were taken."""

    def __init__(self):
        self.counts = (0, 0, 0)
        self.looks: list[int] = []
        self.now = self.worked = 0.0
        self.collection = QuietCollection(
            lambda: self.counts, self.looks.append, lambda: self.now, lambda: self.worked
        )

    def tick(self, *, busy):
        self.now += TICK
        self.worked += TICK * busy
        self.collection.look()


@pytest.fixture
def process():
    return Process()


def test_nothing_is_looked_at_where_little_was_made(process):
    process.counts = (9_999, 11, 101)
    for _ in range(20):
        process.tick(busy=0.0)
    assert process.looks == []


def test_a_look_waits_for_a_quiet_moment(process):
    process.counts = (170_000, 0, 0)
    process.tick(busy=0.9)
    process.tick(busy=0.6)
    assert process.looks == []
    process.tick(busy=0.4)
    assert process.looks == [0]


def test_a_moment_is_not_quiet_while_others_have_the_processor(process):
    for made in (0, 20_000, 40_000, 60_000):
        process.counts = (made, 0, 0)
        process.tick(busy=0.1)
    assert process.looks == []
    process.counts = (60_900, 0, 0)
    process.tick(busy=0.1)
    assert process.looks == [0]


def test_a_look_does_not_wait_for_longer_than_a_second(process):
    process.counts = (20_000, 0, 0)
    for _ in range(9):
        process.tick(busy=1.0)
    assert process.looks == []
    process.tick(busy=1.0)
    assert process.looks == [0]
    for _ in range(9):
        process.tick(busy=1.0)
    assert process.looks == [0]


def test_a_burst_that_has_left_nothing_does_not_count(process):
    process.counts = (20_000, 0, 0)
    for _ in range(9):
        process.tick(busy=1.0)
    process.counts = (0, 0, 0)
    process.tick(busy=1.0)
    process.counts = (20_000, 0, 0)
    process.tick(busy=1.0)
    assert process.looks == []


@pytest.mark.parametrize(
    ("counts", "generation"),
    [((10_000, 10, 101), 0), ((10_000, 11, 100), 1), ((10_000, 11, 101), 2)],
)
def test_older_objects_get_their_turn(process, counts, generation):
    process.counts = counts
    process.tick(busy=0.0)  # in which they were made
    process.tick(busy=0.0)
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
