"""Ruby's own HTTP library through the proxy: real Elasticsearch, real models."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.integration.journey import JourneyTests
from tests.support.runtimes import tool

pytestmark = pytest.mark.clients

SCRIPT: Final = Path(__file__).parent / "ruby" / "journey.rb"


@pytest.fixture(scope="session")
def program() -> list[str]:
    return [tool("ruby"), "-w", str(SCRIPT)]


class TestRuby(JourneyTests):
    error_name = "ElasticsearchError"
