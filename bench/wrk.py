"""Runs the load generator wrk on a core of its own, and reads what it prints."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

UNITS: Final = {"us": 1.0, "ms": 1e3, "s": 1e6}  # in microseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of a run."""

    text: str
    requests: int
    requests_per_second: float
    p50_microseconds: float
    p99_microseconds: float


def load(
    url: str,
    *,
    connections: int,
    seconds: int,
    core: int,
    options: Sequence[str] = (),
    script: Sequence[str] = (),
) -> Report:
    """Load a server from one thread. `script`: a Lua file and its arguments.

    Exits if a request failed.
    """
    command = ["taskset", "-c", str(core), "wrk", "--latency", "-t1", f"-c{connections}"]
    command += [f"-d{seconds}s", *options]
    if script:
        command += ["-s", script[0]]
    command += [url, "--", *script[1:]] if script[1:] else [url]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    requests = int(find(r"(\d+) requests in", text))
    if "Non-2xx" in text or "Socket errors" in text or not requests:
        sys.exit(f"{url} failed under load:\n{text}")
    return Report(
        text=text,
        requests=requests,
        requests_per_second=float(find(r"Requests/sec:\s+([\d.]+)", text)),
        p50_microseconds=_microseconds(find(r"\n +50% +(\S+)", text)),
        p99_microseconds=_microseconds(find(r"\n +99% +(\S+)", text)),
    )


def find(pattern: str, text: str) -> str:
    """The first group of a pattern in wrk's output; exits if it does not match."""
    match = re.search(pattern, text)
    if match is None:
        sys.exit(f"wrk wrote something else than expected:\n{text}")
    return match[1]


def _microseconds(text: str) -> float:
    """Of `12.50us`, `1.20ms` or `2.00s`."""
    unit = find(r"(us|ms|s)$", text)
    return float(text.removesuffix(unit)) * UNITS[unit]
