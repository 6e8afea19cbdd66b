"""Commands whose output is closed, full, or read only in part."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from testbed.processes import ROOT

PRINT: list[str] = [sys.executable, "-m", "proxy", "check", "--config-only"]


def run(command: list[str], stdout: Any) -> tuple[int, str]:
    done = subprocess.run(command, cwd=ROOT, stdout=stdout, stderr=subprocess.PIPE, text=True)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "command", [PRINT, [*PRINT[:3], "--help"], [*PRINT[:3], "--version"]], ids=str
)
def test_nobody_reads_it(command: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        code, told = run(command, closed)
    assert told == ""
    assert code in (0, 141)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux alone has it")
def test_the_disk_is_full() -> None:
    with Path("/dev/full").open("w") as full:
        code, told = run(PRINT, full)
    assert (code, told) == (1, "error: cannot write the output: No space left on device\n")


def test_it_was_closed_before_the_start() -> None:
    shell = ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *PRINT]
    assert run(shell, subprocess.PIPE) == (0, "")


def test_a_path_that_is_no_text_is_printed() -> None:
    command = [*PRINT, "--store", os.fsdecode(b"sqlite:\xff")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"store.kind: sqlite:\udcff  # flag" in done.stdout
