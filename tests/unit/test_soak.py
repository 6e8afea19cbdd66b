"""What the soak calls flat."""

from __future__ import annotations

import os

import pytest

from bench.soak import Sample, verdict


def series(*levels, files=(20, 20, 20)):
    """Samples of three equal parts of the time; the first may be anything."""
    pairs = zip(levels, files, strict=True)
    return [Sample(level, count) for level, count in pairs for _ in range(10)]


@pytest.mark.parametrize(
    ("samples", "flat"),
    [
        (series(40.0, 60.0, 67.9), True),
        (series(40.0, 60.0, 68.1), False),  # 8 MiB of a small process
        (series(40.0, 1000.0, 1049.0), True),
        (series(40.0, 1000.0, 1051.0), False),  # 5 % of a large one
        (series(90.0, 60.0, 50.0), True),
        (series(60.0, 60.0, 60.0, files=(10, 50, 58)), True),
        (series(60.0, 60.0, 60.0, files=(10, 50, 59)), False),
        ([*series(60.0, 60.0, 60.0), Sample(900.0, 900)], True),  # one sample is chance
    ],
)
def test_growth_is_told_from_chance(samples, flat):
    line, found = verdict("worker 0", samples)
    assert found is flat
    assert line.endswith("flat" if flat else "GREW")


def test_a_sample_is_of_the_process_itself():
    mine = Sample.of(os.getpid())
    assert mine.resident > 10
    with open(os.devnull):  # noqa: PTH123
        assert Sample.of(os.getpid()).files == mine.files + 1
