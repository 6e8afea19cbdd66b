"""Reading the case files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson

FOLDER: Final = Path(__file__).parent / "cases"


def load_cases(name: str) -> dict[str, dict[str, Any]]:
    """The cases of a file by id, in order."""
    lines = (FOLDER / name).read_bytes().splitlines()
    cases = [orjson.loads(line) for line in lines]
    by_id = {case["id"]: case for case in cases}
    assert len(by_id) == len(cases), f"{name}: an id stands twice"
    return by_id


def fill_in(value: Any, variables: Mapping[str, str]) -> Any:
    """A copy of a JSON value with the variables in its strings replaced; keys stay as they are."""
    if isinstance(value, str):
        for name, text in variables.items():
            value = value.replace(name, text)
        return value
    if isinstance(value, Mapping):
        return {key: fill_in(item, variables) for key, item in value.items()}
    return [fill_in(item, variables) for item in value] if isinstance(value, list) else value
