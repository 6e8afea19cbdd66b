"""Writes requirements.lock: what the image installs, with hashes.

    python -m release.lock

Versions are those of constraints.txt; hashes are of the wheels for the image's Python on Linux,
x86_64 and aarch64. The build backend is included, because the image builds with it.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
LOCK: Final = ROOT / "requirements.lock"
PYTHON: Final = "3.13"  # of the image
PLATFORMS: Final = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28")
HEADER: Final = f"""\
# What the image installs: wheels for Python {PYTHON} on Linux, x86_64 and aarch64.
# `make lock` writes this file from setup.cfg, pyproject.toml and constraints.txt.
"""


def resolve(platform: str) -> list[Mapping[str, Any]]:
    """The packages that one platform needs, as PEP 751 lists them."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    command = ["uv", "pip", "compile", "setup.cfg", "-", "--constraints", "constraints.txt"]
    command += ["--python-version", PYTHON, "--python-platform", platform, "--no-header"]
    command += ["--format", "pylock.toml", "--quiet"]
    written = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        input="\n".join(build),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    packages: list[Mapping[str, Any]] = tomllib.loads(written.stdout)["packages"]
    return packages


def merge(found: Sequence[Sequence[Mapping[str, Any]]]) -> str:
    """One file for all platforms, with the wheels of each. Exits if a package has no wheel."""
    hashes: dict[str, set[str]] = {}
    for packages in found:
        for package in packages:
            pinned = f"{package['name']}=={package['version']}"
            wheels = {wheel["hashes"]["sha256"] for wheel in package.get("wheels", [])}
            if not wheels:
                sys.exit(f"{pinned} has no wheel for Python {PYTHON} on some platform")
            hashes.setdefault(pinned, set()).update(wheels)
    lines = [
        " \\\n".join([pinned, *(f"    --hash=sha256:{value}" for value in sorted(hashes[pinned]))])
        for pinned in sorted(hashes)
    ]
    return HEADER + "\n".join(lines) + "\n"


def main() -> None:
    LOCK.write_text(merge([resolve(platform) for platform in PLATFORMS]))


if __name__ == "__main__":
    main()
