from __future__ import annotations

import pytest

from tests.support.application import proxy_with


@pytest.fixture
async def proxy(tmp_path):
    """An application without an upstream, its store empty."""
    async with proxy_with(tmp_path, inference_body=200_000) as proxy:
        yield proxy
