"""How a command fails."""

from __future__ import annotations


class CommandFailed(Exception):
    """Why a command cannot do its work, in one line for whoever started it."""
