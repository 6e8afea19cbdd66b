"""Several processes on one port: the parent starts them, replaces them and ends them."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Final, NoReturn

log = logging.getLogger(__name__)

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
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
    then the others are ended, too. None outlives this process, however it ends.
    """

    def __init__(self, count: int, work: Work) -> None:
        self._count = count
        self._work = work
        self._pids: set[int] = set()
        self._stopping = False
        self._watched, self._held = os.pipe()  # it closes with this process

    def run(self) -> int:
        """Start them one after the other, so that what hinders all is said once; the exit code.

        Signals are blocked and waited for: none can come between a look and a wait.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        failed = not all(self._start() for _ in range(self._count))
        if failed:
            self._stop()
        while self._pids:
            caught = signal.sigwait(_SIGNALS)
            if caught == signal.SIGHUP:
                self._send(signal.SIGHUP)
            elif caught != signal.SIGCHLD:
                self._stop()
            for pid, code in self._ended():
                if self._stopping:
                    continue
                log.warning("worker %d ended with %d: starting another", pid, code)
                if not self._start():
                    failed = True
                    self._stop()
        return int(failed)

    def _ended(self) -> Iterator[tuple[int, int]]:
        """The workers that have ended since the last look, with their exit codes."""
        for pid in list(self._pids):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._pids.discard(pid)
                yield pid, os.waitstatus_to_exitcode(status)

    def _start(self) -> bool:
        """Start a worker; whether it came to accept connections."""
        ready, said = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(ready)
            self._be_a_worker(said)
        self._pids.add(pid)
        os.close(said)
        with os.fdopen(ready, "rb") as pipe:
            return bool(pipe.read(1))

    def _be_a_worker(self, said: int) -> NoReturn:
        code = 1
        os.close(self._held)
        threading.Thread(target=self._end_with_parent, daemon=True).start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        try:
            self._work(lambda: _say_ready(said))
            code = 0
        except Exception as error:
            sys.stderr.write(f"error: {error}\n")
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _end_with_parent(self) -> None:
        """A worker left alone would share the port with those of the next start, for ever."""
        os.read(self._watched, 1)  # nothing is written: it returns when the other end is gone
        os.kill(os.getpid(), signal.SIGTERM)

    def _stop(self) -> None:
        self._stopping = True
        self._send(signal.SIGTERM)

    def _send(self, number: signal.Signals) -> None:
        for pid in self._pids:
            os.kill(pid, number)  # one that has ended is there until it is waited for


def _say_ready(pipe: int) -> None:
    os.write(pipe, b"1")
    os.close(pipe)
