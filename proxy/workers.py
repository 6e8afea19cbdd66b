"""Several processes on one port: the parent starts them, restarts them and ends them."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

log = logging.getLogger(__name__)

_QUICK: Final = 5.0  # seconds; a worker that lived less failed to start


def run_workers(count: int, work: Callable[[], None]) -> int:
    """Run `work` in `count` processes until SIGTERM or SIGINT; the exit code.

    A worker that dies is replaced. One that fails at once is not: the others are ended, too.
    """
    workers: dict[int, float] = {}
    stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        for pid in workers:
            os.kill(pid, signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    for _ in range(count):
        workers[_start(work)] = time.monotonic()
    code = 0
    while workers:
        pid, status = os.wait()
        started = workers.pop(pid, None)
        if started is None or stopping:
            continue
        code = os.waitstatus_to_exitcode(status)
        if time.monotonic() - started < _QUICK:
            stop(signal.SIGTERM, None)
        else:
            log.warning("worker %d ended with %d: starting another", pid, code)
            workers[_start(work)] = time.monotonic()
            code = 0
    return abs(code)


def _start(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except Exception as error:
        sys.stderr.write(f"error: {error}\n")
    finally:
        sys.stderr.flush()
        os._exit(code)
