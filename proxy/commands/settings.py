"""`check --config-only`: prints the settings in force, and where each comes from."""

from __future__ import annotations

import sys
from typing import Any

from proxy.config import Settings, describe


def show_settings(settings: Settings) -> int:
    """Print a line for each key, secrets masked, and one for what was said to no effect.

    That the settings are valid is known by then.
    """
    for key, value in describe(settings.config).items():
        sys.stdout.write(f"{key}: {_text(value)}  # {settings.origins[key]}\n")
    for remark in settings.remarks:
        sys.stdout.write(f"# warning: {remark}\n")
    return 0


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case tuple():
            return ", ".join(value)
    return str(value)
