"""The configuration file, whose mistakes are told without quoting it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.config import ConfigError
from proxy.config.yamlfile import read_yaml


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "proxy.yml"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("# nothing\n", {}),
        ("a: {b: 1}\nc: [x]\n", {"a": {"b": 1}, "c": ["x"]}),
        ("a: &x {b: 1}\nc:\n  <<: *x\n  d: 2\n", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
    ],
)
def test_names_and_values(path: Path, text: str, values: Any):
    path.write_text(text)
    assert read_yaml(path) == values


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- s3cret", "must hold keys and values"),
        ("s3cret", "must hold keys and values"),
        ("a: [s3cret", "is not YAML at line 1, column 11"),
        ("a: s3cret\x00", "is not YAML"),
        ("a: !!python/object:os.system s3cret", "is not YAML at line 1"),
        ("a: 1\nb: 2\na: s3cret", "has [a] twice: in line 1 and line 3"),
        ("a: {b: 1, b: s3cret}", "has [b] twice: in line 1 and line 1"),
        ("a: 2020-13-45", "looks like a date or number, and is none: put it in quotes"),
        ("a: !!float s3cret", "looks like a date or number"),
        ("a: " + "[" * 500, "has too many levels"),
    ],
)
def test_mistakes_are_told_without_quoting_them(path: Path, text: str, problem: str):
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(f"[{path}] ")
    assert problem in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_file_that_cannot_be_read(path: Path):
    with pytest.raises(ConfigError, match=r"cannot read .*: No such file"):
        read_yaml(path)
    path.write_bytes(b"a: \xff")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        read_yaml(path)
