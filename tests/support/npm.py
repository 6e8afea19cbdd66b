"""npm packages, installed once from a lock file and kept in the cache folder."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Final

from proxy.modelserver.packages import cache_folder, made_once
from tests.support.runtimes import tool

MANIFESTS: Final = ("package.json", "package-lock.json")


def installed(manifests: Path) -> Path:
    """A folder with the packages of the lock file in `manifests`, for programs to run in."""
    wanted = b"".join((manifests / name).read_bytes() for name in MANIFESTS)
    name = f"npm-{manifests.name}-{hashlib.sha256(wanted).hexdigest()[:12]}"

    def install(scratch: Path) -> Path:
        folder = scratch / "packages"
        folder.mkdir()
        for manifest in MANIFESTS:
            shutil.copy(manifests / manifest, folder)
        command = [tool("npm"), "ci", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, f"npm ci failed:\n{done.stdout}{done.stderr}"
        return folder

    return made_once(cache_folder() / name, install)
