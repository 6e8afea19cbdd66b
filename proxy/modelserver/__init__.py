"""A local provider: real small models, served in Hugging Face's wire formats.

What it needs beside the proxy's own dependencies comes with the extra `local`, and is imported
only when it starts.
"""

from __future__ import annotations


def main(arguments: list[str]) -> int:
    """Run `provider` with these arguments until it is told to stop; the exit code."""
    from proxy.modelserver.command import run

    return run(arguments)
