from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.store.sqlite.file import DatabaseFile


@pytest.fixture
def file(tmp_path: Path) -> Iterator[DatabaseFile]:
    file = DatabaseFile(tmp_path / "endpoints.db", 0.01)
    file.make()
    file.open()
    yield file
    file.close()
