"""The soak: many kinds of callers at once, while memory and open files must not grow.

    python -m bench.soak [--minutes N] [--workers N]

The proxy is in front of a real Elasticsearch and a stub provider. Each minute memory and open files
of each process of the proxy are printed. Exit code 1: memory or files grew from the second third of
the time to the last, an answer was wrong, or gauges of work in progress were not 0 at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector
from prometheus_client.parser import text_string_to_metric_families

from bench.callers import CALLERS, PATIENCE, Unexpected, World, prepare
from bench.stub import provider
from testbed.elasticsearch import start as start_elasticsearch
from testbed.processes import ROOT, children_of, proxy_command

PORT: Final = 19180  # of the proxy
ADMIN: Final = 19190  # of the first worker; the others have the next ports
SAMPLES: Final = 90  # in total
GROWTH: Final = 0.05  # tolerated, as a part of the memory, or
GROWTH_MIB: Final = 8.0  # in MiB, whichever is more
FILES: Final = 8  # tolerated growth: some happen to be open
IDLE: Final = ("connections", "calls_open", "streams_open", "held_bytes", "rate_limit_waiting")
SHOWN: Final = 20  # failures that are printed; all are counted


@dataclass(frozen=True, slots=True)
class Sample:
    """A process at one moment."""

    resident: float  # MiB
    files: int

    @classmethod
    def of(cls, pid: int) -> Sample:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        resident = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
        return cls(resident, len(os.listdir(f"/proc/{pid}/fd")))  # noqa: PTH208 - names alone


def verdict(name: str, samples: Sequence[Sample]) -> tuple[str, bool]:
    """A line that compares the last third with the second, and whether there is no growth."""
    third = len(samples) // 3
    before, after = samples[third : 2 * third], samples[-third:]
    resident = [statistics.median(one.resident for one in part) for part in (before, after)]
    files = [statistics.median(one.files for one in part) for part in (before, after)]
    allowed = max(GROWTH * resident[0], GROWTH_MIB)
    flat = resident[1] - resident[0] <= allowed and files[1] - files[0] <= FILES
    line = f"{name:12} memory {resident[0]:7.1f} -> {resident[1]:7.1f} MiB"
    line += f"  files {files[0]:5.0f} -> {files[1]:5.0f}  {'flat' if flat else 'GREW'}"
    return line, flat


@dataclass(slots=True)
class Outcome:
    """How often each caller was called, and its failures."""

    done: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


async def call(
    caller: Callable[[World], Awaitable[None]], pause: float, world: World, outcome: Outcome
) -> None:
    """Run a caller again and again, until cancelled."""
    name = getattr(caller, "__name__", "caller")
    while True:
        try:
            async with asyncio.timeout(PATIENCE):
                await caller(world)
        except (Unexpected, ClientError, OSError, EOFError, TimeoutError) as error:
            text = f"{time.strftime('%H:%M:%S')} {name}: {type(error).__name__} {error}"
            outcome.failures.append(text)
            if len(outcome.failures) <= SHOWN:
                print(text, flush=True)
        outcome.done[name] += 1
        await asyncio.sleep(pause)


async def watch(pids: dict[str, int], seconds: float) -> dict[str, list[Sample]]:
    """Samples of each process, evenly spaced; printed once a minute."""
    samples: dict[str, list[Sample]] = {name: [] for name in pids}
    began = shown = time.monotonic()
    for number in range(1, SAMPLES + 1):
        await asyncio.sleep(began + number * seconds / SAMPLES - time.monotonic())
        for name, pid in pids.items():
            samples[name].append(Sample.of(pid))
        if time.monotonic() - shown >= 60 or number == SAMPLES:
            shown = time.monotonic()
            line = f"{(shown - began) / 60:5.1f} min"
            for name, found in samples.items():
                line += f"  {name} {found[-1].resident:6.1f} MiB {found[-1].files:4} files"
            print(line, flush=True)
    return samples


async def soak(pids: dict[str, int], seconds: float) -> tuple[bool, Outcome]:
    """Run all callers; whether no process grew, and the outcome."""
    outcome = Outcome()
    connector = TCPConnector(limit=0)
    patience = ClientTimeout(total=PATIENCE)
    async with provider() as stub, ClientSession(connector=connector, timeout=patience) as session:
        world = World(PORT, session, stub)
        await prepare(world)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(call(caller, pause, world, outcome))
                for caller, pause, count in CALLERS
                for _ in range(count)
            ]
            samples = await watch(pids, seconds)
            for task in tasks:
                task.cancel()
    flat = True
    for name, found in samples.items():
        line, stays = verdict(name, found)
        flat = flat and stays
        print(line)
    return flat, outcome


def left_over(workers: int) -> list[str]:
    """Gauges of work in progress that are not 0, though no caller is left."""
    found = []
    for number in range(workers):
        with urllib.request.urlopen(f"http://127.0.0.1:{ADMIN + number}/metrics") as answer:
            text = answer.read().decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name.removeprefix("hfproxy_") in IDLE and sample.value:
                    found.append(f"worker {number}: {sample.name} is {sample.value:.0f}")
    return found


@contextmanager
def proxy(folder: Path, upstream: str, workers: int) -> Iterator[dict[str, int]]:
    """A running proxy: the ids of its processes by name."""
    command = proxy_command("serve", "--upstream", upstream, "--workers", str(workers))
    command += ["--listen", f"127.0.0.1:{PORT}", "--admin", f"127.0.0.1:{ADMIN}"]
    environ = {**os.environ, "XDG_STATE_HOME": str(folder), "HFPROXY_PROVIDER_TIMEOUT": "80"}
    with (folder / "proxy.log").open("wb") as log:
        child = subprocess.Popen(command, cwd=ROOT, env=environ, stderr=log)
    try:
        for number in range(workers):
            wait_until_answered(f"http://127.0.0.1:{ADMIN + number}/readyz", child)
        pids = {"proxy": child.pid}
        pids |= {f"worker {number}": pid for number, pid in enumerate(children_of(child.pid))}
        yield pids
    finally:
        child.terminate()
        code = child.wait(60)
        print(f"the proxy ended with {code}; the end of its log:")
        print("\n".join((folder / "proxy.log").read_text().splitlines()[-3:]))


def wait_until_answered(url: str, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and child.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=10):
                return
        except OSError:
            time.sleep(0.2)
    sys.exit(f"{url} does not answer")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        running = start_elasticsearch()
        stack.callback(running.stop)
        pids = stack.enter_context(proxy(Path(name), running.url, options.workers))
        flat, outcome = asyncio.run(soak(pids, options.minutes * 60))
        time.sleep(3)  # until the last aborted requests have been noticed
        left = left_over(options.workers)
    print("done: " + ", ".join(f"{name} {count}" for name, count in outcome.done.items()))
    print(f"failures: {len(outcome.failures)}")
    for text in left:
        print(f"  {text}")
    return 0 if flat and not outcome.failures and not left else 1


if __name__ == "__main__":
    sys.exit(main())
