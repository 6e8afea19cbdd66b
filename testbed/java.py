"""Finds an installed Java of a suitable version."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

FOLDERS: Final = (
    "/usr/lib/jvm",
    "/usr/java",
    "/opt",
    "/Library/Java/JavaVirtualMachines",
    "~/.sdkman/candidates/java",
    "~/.jdks",
)


class JavaMissing(Exception):
    """No installed Java is suitable; the text says which one to install."""


def find_java(
    oldest: int,
    newest: int,
    *,
    compiler: bool = False,
    environ: Mapping[str, str] = os.environ,
    folders: Sequence[str] = FOLDERS,
) -> Path:
    """The home of the oldest installed Java within `oldest` to `newest`.

    Searches JAVA_HOME and PATH of `environ`, and the `folders`, which have a home for each version.
    With `compiler`, only a JDK will do.
    Raises: JavaMissing, naming the versions that were found.
    """
    homes = _homes(environ, folders)
    found = {home: version for home in homes if (version := _version_of(home))}
    fitting = {
        home: version
        for home, version in found.items()
        if oldest <= version <= newest and (not compiler or (home / "bin/javac").exists())
    }
    if fitting:
        return min(fitting, key=lambda home: fitting[home])
    kind = "a JDK" if compiler else "Java"
    versions = ", ".join(str(version) for version in sorted(set(found.values()))) or "none"
    raise JavaMissing(
        f"{kind} {oldest} to {newest} is needed, found: {versions}. Install one (Debian: apt-get "
        f"install openjdk-{oldest}-jdk-headless or temurin-{oldest}-jdk) or set JAVA_HOME"
    )


def _homes(environ: Mapping[str, str], folders: Sequence[str]) -> Iterator[Path]:
    """Every folder that may be a Java home, likely ones first; some come twice."""
    for variable in ("JAVA_HOME", "ES_JAVA_HOME"):
        if value := environ.get(variable):
            yield Path(value).resolve()
    parents = [Path(folder).expanduser() for folder in folders]
    if java := shutil.which("java", path=environ.get("PATH", os.defpath)):
        home = Path(java).resolve().parent.parent
        yield home
        parents.insert(0, home.parent)
    for folder in parents:
        if folder.is_dir():
            for child in sorted(folder.iterdir()):
                yield child.resolve()
                yield child.resolve() / "Contents/Home"


def _version_of(home: Path) -> int | None:
    """The major version of the Java in a folder; None if none runs there."""
    java = home / "bin/java"
    if not java.is_file():
        return None
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    match = re.search(r'version "(?:1\.)?(\d+)', told.stderr)
    return int(match[1]) if match else None
