"""What docs/ points to is there."""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from typing import Final

import pytest

from proxy.config import Config, describe
from release import settings

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


def test_every_setting_is_in_the_table() -> None:
    table = settings.PAGE.read_text("utf-8").partition("| key | default | meaning |")[2]
    named = {key for row in table.splitlines() for key in re.findall(r"`([a-z_.]+)`", row)}
    assert not [key for key in describe(Config()) if key not in named]


def test_the_page_of_settings_says_what_the_code_says() -> None:
    present = settings.PAGE.read_text("utf-8")
    assert settings.page(present) == present, "make settings"


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_file_it_points_to_is_there(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", path.read_text("utf-8"))
    assert not [target for target in targets if not (path.parent / target).exists()]


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_module_it_names_is_there(path: Path) -> None:
    named = re.findall(r"`(proxy/[a-z_./]+)`", path.read_text("utf-8"))
    assert not [name for name in named if not (ROOT / name).exists()]


ROWS: Final = re.findall(
    r"^\| `([a-z0-9]+)` \|.*\| ([^|]*)\|$",
    (ROOT / "docs" / "architecture.md").read_text("utf-8").partition("## The way")[0],
    re.MULTILINE,
)


def test_every_room_has_its_line() -> None:
    rooms = {path.name for path in (ROOT / "proxy").iterdir() if (path / "__init__.py").exists()}
    assert {room for room, _ in ROWS} >= rooms


@pytest.mark.parametrize(("room", "imports"), [row for row in ROWS if row[0] != "app"])
def test_a_room_may_import_what_its_line_says(room: str, imports: str) -> None:
    rules = configparser.ConfigParser()
    rules.read(ROOT / "setup.cfg")
    rule = rules[f"importlinter:contract:{room}"]
    allowed = rule.get("may_import", "").split()
    assert [f"proxy.{name.strip()}" for name in imports.split(",") if name.strip()] == allowed
