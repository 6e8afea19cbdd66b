"""Standard output that may be closed, full, or read only in part; and Ctrl-C."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Output:
    code: int = 0  # the exit code


@contextmanager
def tolerant_output() -> Iterator[Output]:
    """Run a command within it; a failure to write becomes an exit code, without a traceback.

    `check | head` ends as other programs do: by what a shell takes for SIGPIPE.
    """
    output = Output()
    if sys.stdout is None:  # it was closed before the start
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  # it stays open to the end
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path may be no text
    try:
        try:
            yield output
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        output.code = 128 + signal.SIGINT
    except BrokenPipeError:
        _discard_output()
        output.code = 128 + signal.SIGPIPE
    except OSError as error:
        _discard_output()
        with suppress(OSError):
            sys.stderr.write(f"error: cannot write the output: {error.strerror or error}\n")
        output.code = 1


def _discard_output() -> None:
    """What is still in the buffer must not fail once more when Python ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
