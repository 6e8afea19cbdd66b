"""Several processes on one port: the parent starts them, replaces them and ends them."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Final, NoReturn

log = logging.getLogger(__name__)

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
Work = Callable[[Callable[[], None]], None]  # calls its argument once it accepts connections


def reserve(host: str, port: int) -> tuple[socket.socket, int]:
    """Hold an address that workers can listen on together, and its port, also for port 0.

    Raises: OSError when the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    held = socket.socket(family, socket.SOCK_STREAM)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((host, port))
    except OSError:
        held.close()
        raise
    return held, int(held.getsockname()[1])


class Workers:
    """Processes that run the same work, until SIGTERM or SIGINT.

    A worker that dies is replaced. One that dies before it accepts connections would do so again:
    then the others are ended, too.
    """

    def __init__(self, count: int, work: Work) -> None:
        self._count = count
        self._work = work
        self._pids: set[int] = set()
        self._stopping = False

    def run(self) -> int:
        """Start them one after the other, so that what hinders all is said once; the exit code."""
        for number in _SIGNALS:
            signal.signal(number, self._stop)
        failed = not all(self._start() for _ in range(self._count))
        if failed:
            self._stop()
        while self._pids:
            pid, status = os.wait()
            self._pids.discard(pid)
            if not self._stopping:
                code = os.waitstatus_to_exitcode(status)
                log.warning("worker %d ended with %d: starting another", pid, code)
                if not self._start():
                    failed = True
                    self._stop()
        return int(failed)

    def _start(self) -> bool:
        """Start a worker; whether it came to accept connections."""
        if self._stopping:
            return True
        ready, said = os.pipe()
        # A signal must find the worker known to the parent, or the child with its own handlers.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = os.fork()
        if not pid:
            os.close(ready)
            self._be_a_worker(said)
        self._pids.add(pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        os.close(said)
        with os.fdopen(ready, "rb") as pipe:
            return bool(pipe.read(1)) or self._stopping

    def _be_a_worker(self, said: int) -> NoReturn:
        code = 1
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        try:
            self._work(lambda: _say_ready(said))
            code = 0
        except Exception as error:
            sys.stderr.write(f"error: {error}\n")
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _stop(self, number: int = 0, frame: FrameType | None = None) -> None:
        self._stopping = True
        for pid in self._pids:
            with suppress(ProcessLookupError):  # ended, and not yet waited for
                os.kill(pid, signal.SIGTERM)


def _say_ready(pipe: int) -> None:
    os.write(pipe, b"1")
    os.close(pipe)
