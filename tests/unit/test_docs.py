"""What docs/ points to is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent.parent
DOCS: Final = sorted((ROOT / "docs").glob("*.md"))
REFERENCES: Final = re.findall(
    r"`(tests/[a-z_/]+\.py)::([a-z0-9_]+)`", (ROOT / "docs" / "security.md").read_text("utf-8")
)


@pytest.mark.parametrize(("file", "test"), REFERENCES)
def test_every_promise_has_its_test(file: str, test: str) -> None:
    assert re.search(rf"def {test}\(", (ROOT / file).read_text("utf-8"))


def test_no_row_stands_without_a_test() -> None:
    text = (ROOT / "docs" / "security.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 8
    assert not [row for row in rows if "::test_" not in row]


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_module_it_names_is_there(path: Path) -> None:
    named = re.findall(r"`(proxy/[a-z_./]+)`", path.read_text("utf-8"))
    assert not [name for name in named if not (ROOT / name).exists()]
