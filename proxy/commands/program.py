"""What the program is called, and which version it is."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Final

INSTALLED: Final = "hugging-face-proxy"
_PACKAGE: Final = "elasticsearch-hugging-face-proxy"


def program() -> str:
    """The command as it was called."""
    called = Path(sys.argv[0]).stem if sys.argv else ""
    return INSTALLED if called == INSTALLED else "python -m proxy"


def version_text() -> str:
    try:
        version = metadata.version(_PACKAGE)
    except metadata.PackageNotFoundError:  # a checkout that is not installed
        version = "(not installed)"
    return f"{INSTALLED} {version}, Python {platform.python_version()}"
