"""Child processes of the tests: started, read while they run, and never left behind."""

from __future__ import annotations

import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
# Whatever the developer's shell holds for a proxy of his own must not reach the tests' proxies.
FOREIGN: Final = ("HFPROXY_", "ELASTICSEARCH_URL", "ELASTIC_API_KEY", "HF_TOKEN")
KEY: Final = "6b" * 32  # an encryption key for tests: 32 bytes, hex
LISTENING: Final = re.compile(r"listening on (?:https?://)?(?P<host>\S+):(?P<port>\d+)")


def free_ports(count: int = 1) -> int:
    """The first of some ports in a row on 127.0.0.1, below those of outgoing connections."""
    while True:
        first = random.randrange(20_000, 32_000)
        with ExitStack() as stack, suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first


class ProcessFailed(AssertionError):
    """A process ended, or stayed silent, before it did what the test needs."""


class Process:
    """A running child; both its output streams are kept as one text."""

    def __init__(self, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
        self.arguments = list(arguments)
        self._lines: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        self._child = subprocess.Popen(
            self.arguments,
            cwd=ROOT,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._child.stdout is not None
        with self._child.stdout as stream:
            for line in stream:
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

    def wait_for(self, text: str, timeout: float = 30.0) -> str:
        """The first line of its output that contains `text`.

        Raises: ProcessFailed, with the whole output, if it ends or `timeout` seconds pass first.
        """
        deadline = time.monotonic() + timeout
        seen = 0
        with self._changed:
            while True:
                for line in self._lines[seen:]:
                    if text in line:
                        return line
                seen = len(self._lines)
                rest = deadline - time.monotonic()
                if self._ended or rest <= 0:
                    break
                self._changed.wait(rest)
        what = "ended" if self._ended else f"has run for {timeout:g} s"
        raise ProcessFailed(f"{self.arguments} {what} without [{text}]:\n{self.output}")

    def wait(self, timeout: float = 30.0) -> int:
        """Its exit code; its output is complete then."""
        try:
            code = self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ProcessFailed(f"{self.arguments} still runs:\n{self.output}") from None
        self._reader.join(timeout)
        return code

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._child.terminate()

    def stop(self, timeout: float = 40.0) -> int:
        """End it by SIGTERM, by SIGKILL if that does not help in time; its exit code."""
        self._child.terminate()
        try:
            self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            self._child.kill()
        return self.wait()


class Server(Process):
    """A child that says where it listens."""

    host: str = ""
    port: int = 0

    def wait_until_listening(self, timeout: float = 30.0) -> None:
        line = self.wait_for("listening on", timeout)
        match = LISTENING.search(line)
        if match is None:
            raise ProcessFailed(f"no address in [{line.strip()}]")
        self.host, self.port = match["host"], int(match["port"])

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


def clean_environ(state: Path, values: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """The environment of a proxy under test; a value of None removes a variable."""
    environ = {name: text for name, text in os.environ.items() if not name.startswith(FOREIGN)}
    environ |= {"XDG_STATE_HOME": str(state), "HFPROXY_STORE_ENCRYPTION_KEY": KEY}
    environ["HFPROXY_ADMIN_LISTEN"] = ""  # one port, many proxies
    for name, value in (values or {}).items():
        if value is None:
            environ.pop(name, None)
        else:
            environ[name] = value
    return environ


def command(*arguments: str) -> list[str]:
    """The command line `python -m proxy …`, with the interpreter that runs the tests."""
    return [sys.executable, "-m", "proxy", *arguments]


class Serve:
    """Starts proxies and ends them all with the `with` block it stands in.

    `serve("--no-lane", upstream=url, env={"HFPROXY_STORE_INDEX": "mine"})` returns a running
    Server; with `wait=False` it is not yet listening. Each gets a free port unless told otherwise.
    """

    def __init__(self, state: Path, registry: list[Process]) -> None:
        self._state = state
        self._registry = registry
        self._stack = ExitStack()

    def __enter__(self) -> Serve:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __call__(
        self,
        *flags: str,
        upstream: str | None = None,
        listen: str = "127.0.0.1:0",
        env: Mapping[str, str | None] | None = None,
        wait: bool = True,
    ) -> Server:
        target = [] if upstream is None else ["--upstream", upstream]
        arguments = command("serve", *target, "--listen", listen, *flags)
        return self.start(Server(arguments, clean_environ(self._state, env)), wait=wait)

    def start(self, server: Server, *, wait: bool = True, timeout: float = 30.0) -> Server:
        """Look after any other server, too."""
        self._registry.append(server)
        self._stack.callback(self._registry.remove, server)
        self._stack.callback(server.stop)
        if wait:
            server.wait_until_listening(timeout)
        return server
