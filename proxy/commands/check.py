"""`check`: prints the configuration in force."""

from __future__ import annotations

import sys

from proxy.config import Config, describe


def check(config: Config) -> int:
    """Print a line for each key, secrets masked. That it is valid is known by then."""
    for key, value in describe(config).items():
        sys.stdout.write(f"{key}: {'' if value is None else value}\n")
    return 0
