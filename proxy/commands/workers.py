"""Several processes on one port: their parent starts them, replaces them and ends them."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final, NoReturn

log = logging.getLogger(__name__)

_STOPS: Final = (signal.SIGTERM, signal.SIGINT)
_SIGNALS: Final = (*_STOPS, signal.SIGHUP, signal.SIGCHLD, signal.SIGALRM)
_PAUSE: Final = 1.0  # seconds after a worker that could not be started
Work = Callable[[Callable[[], None]], None]  # calls its argument once it accepts connections


def reserve(host: str, port: int) -> tuple[socket.socket, int]:
    """A socket that reserves an address for the workers, and its port (chosen, for port 0).

    They listen on the same address, each with a socket of its own.

    Raises: OSError when the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    reserved = socket.socket(family, socket.SOCK_STREAM)
    try:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind((host, port))
    except OSError:
        reserved.close()
        raise
    return reserved, int(reserved.getsockname()[1])


class Workers:
    """Processes that run the same work, until SIGTERM or SIGINT.

    If the first cannot start, the settings are at fault, and that is the end. After that, one that
    ends is replaced. One that could not start (it was killed, or the store was locked) is started
    again after a pause, while the others serve. No worker outlives this process, however it ends.
    """

    def __init__(self, count: int, work: Work) -> None:
        self._count = count
        self._work = work
        self._pids: set[int] = set()
        self._stopping = False
        self._pausing = False  # after a worker that could not be started, until SIGALRM comes
        # Workers wait for the end of this pipe, which comes when this process ends.
        self._parent_ended, self._parent_alive = os.pipe()

    @property
    def is_first(self) -> bool:
        """In a worker: whether it was started before all others."""
        return not self._pids

    def run(self) -> int:
        """Start the workers and look after them; the exit code.

        They start one after the other, so that what stops all of them is reported once. Signals are
        blocked and waited for, so that none is lost between two of them.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        failed = not self._start()
        if failed:
            self._stop()
        self._fill_up()
        while self._pids or not self._stopping:
            caught = signal.sigwait(_SIGNALS)
            if caught == signal.SIGHUP:
                self._send(signal.SIGHUP)
            elif caught in _STOPS:
                self._stop()
            elif caught == signal.SIGALRM:
                self._pausing = False
            for pid, code in self._ended():
                if not self._stopping:
                    log.warning("worker %d ended with %d: starting another", pid, code)
            self._fill_up()
        return int(failed)

    def _ended(self) -> Iterator[tuple[int, int]]:
        """The workers that have ended since the last call, with their exit codes."""
        for pid in list(self._pids):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._pids.discard(pid)
                yield pid, os.waitstatus_to_exitcode(status)

    def _fill_up(self) -> None:
        """Start the workers that are missing; after a failure, go on when SIGALRM comes."""
        while not (self._stopping or self._pausing) and len(self._pids) < self._count:
            if not self._start():
                log.error("a new worker ended before it accepted connections: trying again")
                self._pausing = True
                signal.setitimer(signal.ITIMER_REAL, _PAUSE)

    def _start(self) -> bool:
        """Start a worker, and wait until it accepts connections; False if it ended before."""
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(reader)
            self._run_worker(writer)
        self._pids.add(pid)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            return bool(pipe.read(1))

    def _run_worker(self, ready: int) -> NoReturn:
        """In the new process: do the work, and report on the pipe `ready` when it has begun."""
        code = 1
        os.close(self._parent_alive)
        threading.Thread(target=self._end_with_parent, daemon=True).start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        try:
            self._work(lambda: _report_ready(ready))
            code = 0
        except Exception as error:
            sys.stderr.write(f"error: {error}\n")
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _end_with_parent(self) -> None:
        """Else a worker without a parent would go on sharing the port with those started later."""
        os.read(self._parent_ended, 1)  # nothing is ever written: it returns when the parent ends
        os.kill(os.getpid(), signal.SIGTERM)

    def _stop(self) -> None:
        self._stopping = True
        self._send(signal.SIGTERM)

    def _send(self, number: signal.Signals) -> None:
        for pid in self._pids:
            os.kill(pid, number)  # a worker that has ended keeps its pid until it is waited for


def _report_ready(pipe: int) -> None:
    with suppress(BrokenPipeError):  # the parent has ended: SIGTERM is on its way
        os.write(pipe, b"1")
    os.close(pipe)
