"""The processes of a siege, and one attack after the other on them.

The proxy runs on one core; the stubs, the probe and the attackers on another, the hostile ones with
a lower priority: what is measured is the proxy, and not how hungry attackers are. With a single
core, or without `taskset`, they share what there is. As root all go before other programs, so that
a busy machine is not taken for an attack that succeeds. Two sieges take turns.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, TypeVar

from testbed.processes import (
    ROOT,
    Process,
    ProcessFailed,
    Server,
    children_of,
    free_ports,
    is_running,
)
from tests.siege.catalogue import Attack, Setup
from tests.siege.figures import LOG, MEMORY, Figures, Wait, Waits, late_by
from tests.siege.probe import KINDS
from tests.support.certificates import certificate
from tests.support.processes import clean_environ
from tests.support.turns import Turns

P = TypeVar("P", bound=Process)

LIMIT: Final = 320  # MiB: the default of `limits.memory`
QUIET: Final = 1.0  # seconds in which the unrelated caller is alone
CALM: Final = 1.0  # seconds for it to be answered again after an attack
PREPARING: Final = 20.0  # seconds for an attacker to begin
TOO_MUCH: Final = 4096  # MiB at which an attack is ended, for the machine's sake
LOOK: Final = 0.02  # seconds between two looks at the memory
HIGH, LOW = -15, -5  # priorities, as `nice` counts: of those who are measured, and the hostile ones
# Linux may share its time among sessions first, and each process here has one of its own.
PRIORITY: Final = '(echo "$1" >/proc/$$/autogroup) 2>/dev/null; exec nice -n "$@"'


class Stage:
    """Starts what an attack needs, anew where the one before needed something else or did harm.

    `tree` is the source tree whose proxy is besieged, run by its own virtual environment.
    """

    def __init__(self, tree: Path = ROOT, registry: list[Process] | None = None) -> None:
        self._tree = tree
        self._registry = [] if registry is None else registry
        self._stack = ExitStack()
        self._running = ExitStack()
        self._running_for: Setup | None = None
        self._quiet = Waits(0.0, 0.0)

    def __enter__(self) -> Stage:
        name = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="siege-"))
        self._folder = Path(name)
        self._certificate = certificate(self._folder / "siege.pem")
        turns = Path(tempfile.gettempdir()) / "siege-turns"
        turns.mkdir(exist_ok=True)
        self._turns = Turns(turns)
        self._stack.callback(self._end)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def besiege(self, attack: Attack, seconds: float) -> Figures:
        """Run an attack for so many seconds, or for as long as it needs."""
        with self._turns.alone():
            if self._running_for != attack.setup:
                self._end()
                self._begin(attack.setup)
                self._running_for = attack.setup
            figures = self._attacked(attack, max(seconds, attack.least))
        if figures.misses:
            self._end()
        return figures

    def _attacked(self, attack: Attack, seconds: float) -> Figures:
        slower = self._slower()
        idle, logged = self._resident("VmRSS"), len(self._proxy.output)
        with ExitStack() as stack:
            attacker = self._start_attacker(attack, seconds, stack)
            broken = self._await(attacker)
            self._forget_peak()
            began = time.monotonic()
            peak = self._watch(attacker, began + seconds + CALM)
            ended = time.monotonic()
        waits = self._waits(began, ended)
        lines = attacker.output.splitlines()
        broken += [line.removeprefix("broken: ") for line in lines if line.startswith("broken: ")]
        if (written := len(self._proxy.output) - logged) > LOG:
            broken.append(f"{written >> 20} MiB of log")
        return Figures(
            attack=attack,
            quiet=self._quiet,
            besieged=Waits.of(waits),
            late=late_by(waits),
            refused=Counter(one.status for one in waits if one.is_refused),
            idle=idle,
            peak=max(peak, self._resident("VmHWM")),
            allowed=LIMIT + MEMORY,
            slower=slower,
            broken=broken,
            answers=" ".join(line for line in lines if line.startswith(("answered", "refused"))),
        )

    # Processes

    def _begin(self, setup: Setup) -> None:
        port = free_ports(5)
        addresses = [f"127.0.0.1:{port + n}" for n in range(5)]
        self._address, self._admin, upstream, provider, self._hostile = addresses
        self._options = ["--tls"] if setup.tls else []
        state = Path(tempfile.mkdtemp(dir=self._folder))
        self._database = state / "endpoints.db"
        stubs = self._start(Server, "tests.siege.stubs", upstream, provider)
        hostile = self._start(Server, "tests.siege.provider", self._hostile, priority=LOW)
        self._proxy = self._start_proxy(state, upstream, setup)
        for server in (stubs, hostile, self._proxy):
            server.wait_until_listening()
        self._probe = self._start(
            Process, "tests.siege.probe", self._address, provider, *self._options
        )
        for kind in KINDS:
            self._probe.wait_for(kind)
        began = time.monotonic()
        time.sleep(QUIET)
        self._quiet = Waits.of(self._waits(began, time.monotonic()))

    def _start_proxy(self, state: Path, upstream: str, setup: Setup) -> Server:
        environ = {
            **clean_environ(state),
            "HFPROXY_ADMIN_LISTEN": self._admin,
            "HFPROXY_LIMITS_MEMORY": str(LIMIT << 20),
            "HFPROXY_LIMITS_DRAIN_TIMEOUT": "0",
            **setup.settings,
        }
        environ.pop("PYTHONPATH", None)
        if setup.tls:
            environ["HFPROXY_TLS_CERTIFICATE"] = str(self._certificate)
        own = self._tree / ".venv" / "bin" / "python"
        python = str(own) if own.exists() else sys.executable
        command = [
            "env",
            "-C",
            str(self._tree),
            python,
            "-m",
            "proxy",
            "serve",
            "--upstream",
            f"http://{upstream}",
        ]
        command += ["--listen", self._address, "--store", f"sqlite:{self._database}"]
        proxy = Server([*_on_core(0, HIGH), *command, *setup.flags], environ, name="proxy")
        return self._look_after(proxy, self._running)

    def _start(
        self,
        kind: type[P],
        module: str,
        *arguments: str,
        priority: int = HIGH,
        core: int = 1,
        stack: ExitStack | None = None,
    ) -> P:
        command = [*_on_core(core, priority), sys.executable, "-m", module, *arguments]
        process = kind(command, os.environ, name=f"{module} {' '.join(arguments[:1])}")
        return self._look_after(process, stack or self._running)

    def _start_attacker(self, attack: Attack, seconds: float, stack: ExitStack) -> Process:
        addresses = [self._address, self._hostile, self._admin, str(self._proxy.pid)]
        arguments = [attack.name, str(seconds), *addresses, str(self._database), *self._options]
        return self._start(Process, "tests.siege.attacker", *arguments, priority=LOW, stack=stack)

    def _look_after(self, process: P, stack: ExitStack) -> P:
        self._registry.append(process)
        stack.callback(self._registry.remove, process)
        stack.callback(process.stop, 0.5)
        return process

    def _end(self) -> None:
        self._running.close()
        self._running_for = None

    # Figures

    def _slower(self) -> float:
        """How much slower the proxy's core is just now than the machine that bounds are for."""
        with ExitStack() as stack:
            measuring = self._start(Process, "tests.siege.slowness", core=0, stack=stack)
            return float(measuring.wait_for("slower").split()[1])

    def _await(self, attacker: Process) -> list[str]:
        """Wait until it has begun; what to say if it has not."""
        try:
            attacker.wait_for("begun", PREPARING)
        except ProcessFailed:
            return ["the attack did not begin"]
        return []

    def _watch(self, attacker: Process, deadline: float) -> float:
        """The most memory that the proxy takes until the attack ends, in MiB."""
        peak = 0.0
        while is_running(attacker.pid) and time.monotonic() < deadline and peak < TOO_MUCH:
            peak = max(peak, self._resident("VmRSS"))
            time.sleep(LOOK)
        return peak

    def _pids(self) -> list[int]:
        with suppress(OSError):
            return [self._proxy.pid, *children_of(self._proxy.pid)]
        return []

    def _resident(self, field: str) -> float:
        """VmRSS, or VmHWM, the peak, of all processes of the proxy together, in MiB."""
        kilobytes = 0
        for pid in self._pids():
            with suppress(OSError):
                text = Path(f"/proc/{pid}/status").read_text()
                found = re.search(rf"{field}:\s+(\d+) kB", text)
                kilobytes += int(found[1]) if found else 0
        return kilobytes / 1024

    def _forget_peak(self) -> None:
        for pid in self._pids():
            with suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")

    def _waits(self, began: float, ended: float) -> list[Wait]:
        """The requests of the unrelated caller that were under way between the two moments.

        One that has no answer CALM seconds later has waited until then.
        """
        deadline = time.monotonic() + CALM
        while True:
            waits = [Wait.read(line) for line in self._probe.output.splitlines()]
            asked = {one.kind: one.next_asked for one in waits}
            now = time.monotonic()
            pending = {kind: at for kind, at in asked.items() if at < ended}
            if not pending or now > deadline:
                break
            time.sleep(LOOK)
        found = [one for one in waits if one.began <= ended and one.began + one.waited >= began]
        return found + [Wait(kind, at, now - at, None) for kind, at in pending.items()]


def _on_core(number: int, priority: int) -> list[str]:
    """How a command begins that is to run there, with that priority if we may."""
    command = ["sh", "-c", PRIORITY, "sh", str(priority)]
    cores = sorted(os.sched_getaffinity(0))
    if shutil.which("taskset") is not None and len(cores) > 1:
        command += ["taskset", "-c", str(cores[number])]
    return command
