"""What all unit tests use.

Property tests repeat: the same examples in every run, and no clock of a busy machine.
"""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "repeatable",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")

FRAMING: Final = 256 * 1024


@pytest.fixture
def framing_limit(monkeypatch: pytest.MonkeyPatch) -> int:
    """How much the framing of chunks may outweigh them: less than usual, as it takes long."""
    monkeypatch.setattr("proxy.http1.bodies.FRAMING_LIMIT", FRAMING)
    return FRAMING
