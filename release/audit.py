"""Checks what the image installs for known vulnerabilities.

    python -m release.audit

Exit code: 0 none is known, 1 at least one is, 2 not every package could be checked. pip-audit alone
exits with 0 if the service knows none of the packages, as happens behind a mirror.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
FOUND: Final = 1
NOT_DONE: Final = 2
COMMAND: Final = (
    *("pip_audit", "--requirement", "requirements.lock", "--require-hashes", "--disable-pip"),
    *("--progress-spinner", "off", "--timeout", "20", "--format", "json"),
)


def judge(report: str) -> tuple[int, list[str]]:
    """The exit code for pip-audit's report (empty if there is none), and lines that say why."""
    try:
        packages: list[dict[str, Any]] = json.loads(report)["dependencies"]
    except ValueError:
        return NOT_DONE, ["NOT DONE: the vulnerability service could not be asked"]
    found = [
        f"{package['name']} {package.get('version', '')}: {flaw['id']}, "
        f"fixed in {', '.join(flaw['fix_versions']) or 'no release'}"
        for package in packages
        for flaw in package.get("vulns", [])
    ]
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    if unknown:
        found.append(
            f"NOT DONE: of {len(packages)} packages the vulnerability service did not know "
            f"{len(unknown)}: {', '.join(unknown)}"
        )
        return NOT_DONE, found
    if found:
        return FOUND, found
    return 0, [f"no known vulnerability in {len(packages)} packages"]


def main() -> int:
    told = subprocess.run(
        [sys.executable, "-m", *COMMAND], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if not told.stdout:
        sys.stderr.write(told.stderr[-1000:])
    code, lines = judge(told.stdout)
    sys.stderr.writelines(f"audit: {line}\n" for line in lines)
    return code


if __name__ == "__main__":
    sys.exit(main())
