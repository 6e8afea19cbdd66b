"""Child processes: started, read while they run, waited for by what they write, always ended."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Final

ROOT: Final = Path(__file__).parent.parent
LISTENING: Final = re.compile(r"listening on (?P<url>https?://(?P<host>[^\s\"/]+):(?P<port>\d+))")
TAIL: Final = 40  # lines of output in the text of a failure
# Becomes the command, after leaving a guard behind that ends it once our end of its standard input
# is closed. The kernel closes that when this process ends in any way, by SIGKILL, too. The guard is
# nobody's child, and ends quietly on an empty line.
GUARD: Final = 'exec 3<&0; ( (read _ <&3 || kill $$) >/dev/null 2>&1 & ); exec "$@" 3<&- </dev/null'


def proxy_command(*arguments: str) -> list[str]:
    """The command line `python -m proxy …`, with the interpreter that runs this."""
    return [sys.executable, "-m", "proxy", *arguments]


def guarded(command: Sequence[str]) -> list[str]:
    """A command that ends when its parent dies; its standard input must be a pipe."""
    return ["/bin/sh", "-c", GUARD, "sh", *command]


def free_ports(count: int = 1) -> int:
    """The first of `count` free ports in a row on 127.0.0.1, below those of outgoing connections.

    They are not reserved: whoever wants one should listen soon.
    """
    while True:
        first = random.randrange(20_000, 32_000)
        with ExitStack() as stack, suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first


def children_of(pid: int) -> list[int]:
    """The process ids of a process's children. Raises: OSError if there is no such process.

    Each thread has those that it has started: Java's main thread is not the first of its process.
    """
    children = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended since
            children += [int(child) for child in (thread / "children").read_text().split()]
    return children


def is_running(pid: int) -> bool:
    """Whether the process exists and is more than a zombie that waits to be reaped."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in ("Z", "X")


class ProcessFailed(Exception):
    """A process ended, or stayed silent, before it did what was expected of it."""


class Process:
    """A running child in a process group of its own, which does not outlive this process.

    Standard output and standard error are kept together as one text, and copied to the file `log`
    if there is one.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environ: Mapping[str, str],
        *,
        name: str = "",
        log: Path | None = None,
    ) -> None:
        self.name = name or " ".join(arguments)
        self._lines: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        self._child = subprocess.Popen(
            guarded(arguments),
            cwd=ROOT,
            env=dict(environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C reaches the parent alone, which ends its children
        )
        copy = None if log is None else log.open("w", encoding="utf-8", buffering=1)
        self._reader = threading.Thread(target=self._read, args=[copy], daemon=True)
        self._reader.start()

    def _read(self, copy: IO[str] | None) -> None:
        assert self._child.stdout is not None
        with ExitStack() as stack:
            stream = stack.enter_context(self._child.stdout)
            if copy is not None:
                stack.enter_context(copy)
            for line in stream:
                if copy is not None:
                    copy.write(line)
                with self._changed:
                    self._lines.append(line)
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def output(self) -> str:
        """All it has written so far."""
        with self._changed:
            return "".join(self._lines)

    def wait_for(
        self,
        text: str,
        timeout: float = 30.0,
        *,
        count: int = 1,
        tell: Callable[[str], None] = lambda _: None,
    ) -> str:
        """The `count`-th line of its output that contains `text`; `tell` hears of all before it.

        Raises: ProcessFailed if it ends first, or `timeout` seconds pass.
        """
        deadline = time.monotonic() + timeout
        seen = 0
        while lines := self._lines_after(seen, deadline):
            for line in lines:
                if text in line:
                    count -= 1
                    if not count:
                        return line
                tell(line.strip())
            seen += len(lines)
        what = self._ending() if self._ended else f"has run for {timeout:g} s"
        raise self._failure(f"{what} without [{text}]")

    def _lines_after(self, count: int, deadline: float) -> list[str]:
        """The lines behind the first `count`; none if it ends, or time is up, before there are."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._ended or len(self._lines) > count,
                max(0.0, deadline - time.monotonic()),
            )
            return self._lines[count:]

    def check(self) -> None:
        """Raises: ProcessFailed if it has ended."""
        if self._child.poll() is not None:
            raise self._failure(self._ending())

    def wait(self, timeout: float = 30.0) -> int:
        """Its exit code; its output is complete then. Raises: ProcessFailed if it goes on."""
        try:
            code = self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise self._failure(f"still runs after {timeout:g} s") from None
        self._reader.join(timeout)
        return code

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._child.terminate()

    def stop(self, timeout: float = 40.0) -> int:
        """End it by SIGTERM, its whole group by SIGKILL if that takes too long; its exit code."""
        self.terminate()
        try:
            self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        self._dismiss_guard()
        return self.wait()

    def _dismiss_guard(self) -> None:
        assert self._child.stdin is not None
        with suppress(OSError, ValueError):  # it is gone, or this was done before
            self._child.stdin.write("\n")
        with suppress(OSError):
            self._child.stdin.close()

    def _ending(self) -> str:
        """What to say of its end; its output is at its end a moment earlier than itself."""
        with suppress(subprocess.TimeoutExpired):
            return f"ended with exit code {self._child.wait(5)}"
        return "closed its output"

    def _failure(self, what: str) -> ProcessFailed:
        tail = "\n".join(self.output.splitlines()[-TAIL:])
        return ProcessFailed(f"{self.name} {what}; the end of its output:\n{tail}")


class Server(Process):
    """A child that writes where it listens."""

    host: str = ""
    port: int = 0
    url: str = ""

    def wait_until_listening(
        self, timeout: float = 30.0, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        """Fills in `host`, `port` and `url`. Raises: ProcessFailed."""
        line = self.wait_for("listening on", timeout, tell=tell)
        match = LISTENING.search(line)
        if match is None:
            raise self._failure(f"tells no address in [{line.strip()}]")
        self.host, self.port, self.url = match["host"], int(match["port"]), match["url"]
