"""Some attacks of `make siege`, of each family: nobody else notices them, and memory is bounded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import RUNNING
from tests.siege import attacks as attacks  # fills the table
from tests.siege.catalogue import ATTACKS
from tests.siege.stage import Stage

# Those that need the same processes come one after the other.
BRIEF = sorted(
    (one for one in ATTACKS.values() if one.brief), key=lambda one: (str(one.setup), one.family)
)
SECONDS = 1.5
ATTEMPTS = 3  # a machine that stands still for a moment is no attack: those work each time


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage(registry=RUNNING) as stage:
        yield stage


@pytest.mark.alone
@pytest.mark.parametrize("attack", BRIEF, ids=[f"{one.family}-{one.name}" for one in BRIEF])
def test_nobody_else_notices(stage, attack):
    for _ in range(ATTEMPTS):
        figures = stage.besiege(attack, SECONDS)
        if not figures.misses:
            break
    assert figures.misses == [], str(figures)
