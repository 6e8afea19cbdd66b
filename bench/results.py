"""What the benches share: options, medians and ratios of rounds, and writing results."""

from __future__ import annotations

import argparse
import json
import platform
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent / "results"
Entries = Sequence[dict[str, float]]  # one for each round


def options_of(description: str | None, *, seconds: int) -> argparse.Namespace:
    """`seconds` (with its default) and `rounds`, from the command line."""
    parser = argparse.ArgumentParser(description=(description or "").split("\n")[0])
    parser.add_argument("--seconds", type=int, default=seconds, help="of load per server and round")
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def write(name: str, results: dict[str, Any], table: str, picture: str | None = None) -> None:
    """Write `name`.json, .txt and .svg into bench/results/, and print the table."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    (FOLDER / f"{name}.txt").write_text(table)
    if picture is not None:
        (FOLDER / f"{name}.svg").write_text(picture)
    print("\n" + table, end="")


def median(entries: Entries, key: str) -> float:
    return statistics.median(entry[key] for entry in entries)


def ratio(entries: Entries, base: Entries, key: str) -> float:
    """The median of the ratios within each round, which other load affects least."""
    pairs = zip(entries, base, strict=True)
    return statistics.median(one[key] / other[key] for one, other in pairs)


def difference(entries: Entries, base: Entries, key: str) -> float:
    """The median of the differences within each round; see `ratio`."""
    pairs = zip(entries, base, strict=True)
    return statistics.median(one[key] - other[key] for one, other in pairs)


def processor() -> str:
    match = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return match[1] if match else platform.machine()
