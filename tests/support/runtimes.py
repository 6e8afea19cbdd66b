"""The language runtimes that the client tests need besides Python and Java.

`python -m tests.support.runtimes` installs missing ones from Debian's packages if it may, and fails
with a list of those that are still missing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

Version = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A program of a language, its oldest usable version, and where to get it."""

    title: str
    probe: tuple[str, ...]  # a command that prints the version
    oldest: Version
    packages: tuple[str, ...]  # Debian's

    def problem(self) -> str | None:
        """Why it cannot be used here; None if it can."""
        version = self._version()
        wanted = ".".join(str(number) for number in self.oldest)
        if version is None:
            return f"{self.title} {wanted} or newer is missing"
        if version < self.oldest:
            found = ".".join(str(number) for number in version)
            return f"{self.title} {wanted} or newer is needed, and {found} is here"
        return None

    def _version(self) -> Version | None:
        if shutil.which(self.probe[0]) is None:
            return None
        told = subprocess.run(self.probe, capture_output=True, text=True)
        match = re.search(r"(\d+)\.(\d+)", told.stdout)
        return (int(match[1]), int(match[2])) if match and told.returncode == 0 else None

    def advice(self) -> str:
        packages = " ".join(self.packages)
        return f"{self.problem()} (Debian: apt-get install {packages}, where that is new enough)"


RUNTIMES: Final[Mapping[str, Runtime]] = {
    "go": Runtime(title="Go", probe=("go", "version"), oldest=(1, 25), packages=("golang-go",)),
    "node": Runtime(
        title="Node.js", probe=("node", "--version"), oldest=(20, 0), packages=("nodejs",)
    ),
    "npm": Runtime(title="npm", probe=("npm", "--version"), oldest=(8, 0), packages=("npm",)),
    "ruby": Runtime(title="Ruby", probe=("ruby", "--version"), oldest=(3, 0), packages=("ruby",)),
    "php": Runtime(
        title="PHP with curl",
        probe=("php", "-r", "curl_init() && print PHP_VERSION;"),
        oldest=(8, 1),
        packages=("php-cli", "php-curl"),
    ),
}


class RuntimeMissing(AssertionError):
    """A runtime is missing or too old; the text says what to install."""


def tool(name: str) -> str:
    """The path of a program of RUNTIMES. Raises: RuntimeMissing."""
    runtime = RUNTIMES[name]
    path = shutil.which(name)
    if path is None or runtime.problem() is not None:
        raise RuntimeMissing(runtime.advice())
    return path


def missing() -> list[Runtime]:
    return [runtime for runtime in RUNTIMES.values() if runtime.problem() is not None]


def install(runtimes: list[Runtime]) -> None:
    """Install them from Debian's packages if this process may; failures are found out later."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    packages = [package for runtime in runtimes for package in runtime.packages]
    sys.stderr.write(f"Installing {' '.join(packages)}\n")
    environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], env=environ, stdout=sys.stderr)
    # One by one: a conflict, as of npm with a Node.js not from Debian, must not stop the rest.
    for package in packages:
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
        subprocess.run(command, env=environ, stdout=sys.stderr)


def main() -> int:
    """Exit code 0 if all are there; otherwise 1, with advice on standard error."""
    if runtimes := missing():
        install(runtimes)
    left = missing()
    for runtime in left:
        sys.stderr.write(f"{runtime.advice()}\n")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
