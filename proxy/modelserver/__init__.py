"""The model server: small real models in Hugging Face's wire formats, for tests and demos.

It is a program of its own, the command `provider`. Its dependencies come with the extra `local`,
and are imported only when it runs.
"""

from __future__ import annotations


def main(arguments: list[str], program: str = "python -m proxy provider") -> int:
    """Run the command `provider` until it is told to stop; its exit code.

    program: what it was called by.
    """
    from proxy.modelserver.command import run

    return run(arguments, program)
