"""Every call is passed on as it came, and so is its answer."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.semantic.passingon import PassingEndpoints


class Endpoints:
    """Answers every call with its name and arguments."""

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any) -> Any:
            return name, arguments

        return call


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("find", ("e",)),
        ("completed", ("endpoint",)),
        ("embed", ("endpoint", ["a"], "deadline", "ingest")),
        ("infer", ("endpoint", ["a"], "deadline", "ingest")),
        ("rerank", ("endpoint", "query", ["a"], "deadline")),
    ],
)
async def test_calls_are_passed_on(name: str, arguments: tuple[Any, ...]):
    passing = PassingEndpoints(Endpoints())
    assert await getattr(passing, name)(*arguments) == (name, arguments)
