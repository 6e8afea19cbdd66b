"""How soon streams begin when many are asked for at once, and what each holds.

    python -m bench.streams [--rounds N]

A thousand callers ask for a completion as a stream, each on a connection of its own: the provider
alone, and through the proxy. The proxy has a core to itself; callers and provider share another.
Rounds are interleaved, and ratios are taken within a round; memory is that of the first one, as
later ones use the same again. Results are written to bench/results/: streams.json, and a table in
streams.txt.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from bench.client import Client
from bench.endpoints import COMPLETION, put_endpoint, start_proxy
from bench.results import median, options_of, processor, ratio, write
from bench.subjects import Cores, Running, pinned, start

STREAMS: Final = 1000
PROVIDER: Final = 19190
PROXY: Final = 19191
CHAT: Final = "/v1/chat/completions"
ASKED: Final[dict[int, tuple[str, dict[str, Any]]]] = {
    PROVIDER: (CHAT, {"stream": True, "messages": [{"role": "user", "content": "x"}]}),
    PROXY: (f"{COMPLETION}/_stream", {"input": "x"}),
}
WANTED: Final = 1.5  # at most: the 99th percentile through the proxy, of the provider's alone
PATIENCE: Final = 60.0  # seconds
Rows = dict[str, list[dict[str, float]]]


class Callers:
    """All callers of one round, who ask at the same moment."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._all_are_connected = asyncio.Barrier(STREAMS + 1)
        self.all_have_begun = asyncio.Event()
        self.begun: list[float] = []  # seconds until the first event of each stream
        self.lost = 0  # streams that did not end as they have to

    async def ask(self) -> None:
        """Ask for a stream, and read it to its end."""
        target, document = ASKED[self._port]
        body = json.dumps(document).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        await self._all_are_connected.wait()
        asked = time.perf_counter()
        writer.write(
            f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
            + body
        )
        try:
            await reader.readuntil(b"data: ")
            self._begins(time.perf_counter() - asked)
            self.lost += b"[DONE]" not in await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            self._begins(PATIENCE)
            self.lost += 1
        finally:
            writer.close()

    def _begins(self, seconds: float) -> None:
        self.begun.append(seconds)
        if len(self.begun) == STREAMS:
            self.all_have_begun.set()

    async def start(self) -> None:
        """Let them ask, once all are connected."""
        await self._all_are_connected.wait()


async def measure(server: Running) -> dict[str, float]:
    """One round; exits if a stream is lost."""
    idle, used = server.resident_mib(), server.cpu_seconds()
    callers = Callers(server.port)
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        for _ in range(STREAMS):
            group.create_task(callers.ask())
        await callers.start()
        await callers.all_have_begun.wait()
        holding = server.resident_mib()
    if callers.lost:
        sys.exit(f"{server.name} lost {callers.lost} of {STREAMS} streams")
    return {
        "p50_seconds": statistics.median(callers.begun),
        "p99_seconds": statistics.quantiles(callers.begun, n=100)[98],
        "kib_per_stream": (holding - idle) * 1024 / STREAMS,
        "cpu_milliseconds": (server.cpu_seconds() - used) * 1000 / STREAMS,
    }


def run(rounds: int) -> Rows:
    cores = Cores.here()
    rows: Rows = {}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        command = [sys.executable, "-m", "bench.stub", str(PROVIDER)]
        provider = stack.enter_context(start("provider", command, PROVIDER, cores.stub))
        proxy = start_proxy("proxy", Path(name), PROXY, cores.subject, stack)
        put_endpoint(Client(PROXY), COMPLETION, f"http://127.0.0.1:{PROVIDER}{CHAT}")
        stack.enter_context(pinned(cores.load))
        for number in range(rounds):
            for server in (provider, proxy) if number % 2 else (proxy, provider):
                found = asyncio.run(measure(server))
                rows.setdefault(server.name, []).append(found)
                shown = "  ".join(f"{key} {value:.3f}" for key, value in found.items())
                print(f"round {number + 1}  {server.name:9} {shown}", flush=True)
    return rows


def report(rows: Rows) -> str:
    lines = [f"{STREAMS} streams that begin at once: {processor()}", ""]
    lines += [
        f"{name:9} first event after {median(entries, 'p50_seconds'):.2f} s, 99th percentile "
        f"{median(entries, 'p99_seconds'):.2f} s; {entries[0]['kib_per_stream']:.0f} KiB and "
        f"{median(entries, 'cpu_milliseconds'):.2f} ms of processor time each"
        for name, entries in rows.items()
    ]
    found = ratio(rows["proxy"], rows["provider"], "p99_seconds")
    lines.append(f"99th percentile, proxy / provider alone: {found:.2f} (<= {WANTED})")
    return "\n".join(lines) + "\n"


def main() -> None:
    options = options_of(__doc__, seconds=1)
    rows = run(options.rounds)
    write("streams", {"processor": processor(), "rows": rows}, report(rows))
    if ratio(rows["proxy"], rows["provider"], "p99_seconds") > WANTED:
        sys.exit(1)


if __name__ == "__main__":
    main()
