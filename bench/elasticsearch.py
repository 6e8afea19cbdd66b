"""What the proxy costs in front of a real Elasticsearch: searches and bulk requests.

    python -m bench.elasticsearch [--seconds N] [--rounds N]

Each load goes to Elasticsearch directly, through nginx and through the proxy. Those two have one
core to themselves; Elasticsearch and the load share another, so that they cost the same in all
three. Rounds are interleaved, and ratios are taken within a round. Results are written to
bench/results/: elasticsearch.json, and a table in elasticsearch.txt.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from bench import wrk
from bench.results import median, options_of, processor, ratio, write
from bench.subjects import Cores, Running, install_tools, nginx_proxy, proxy, start
from testbed.distribution import DEFAULT_VERSION
from testbed.elasticsearch import RunningElasticsearch
from testbed.elasticsearch import start as start_elasticsearch
from testbed.processes import children_of

POST: Final = Path(__file__).parent / "post.lua"
PORT: Final = 19150
JAVA_OPTIONS: Final = (
    "-Xms1g -Xmx1g"  # with all compilers: a fast Elasticsearch shows the proxy's cost best
)
DOCUMENTS: Final = 1000  # in the index that searches read
BULK_BYTES: Final = 1 << 20  # of one body, roughly
WARM_UP: Final = 20  # seconds for each load, for Java's compilers
CONNECTIONS: Final = (1, 16)
FILLED: Final = "filled"  # the index that bulk requests go to
Rates = dict[str, dict[str, list[dict[str, float]]]]


@dataclass(frozen=True, slots=True)
class Load:
    """A request; `body` is the file to post, if any."""

    name: str
    target: str
    body: Path | None
    wanted: str = ""  # text that each answer to a post must contain


@dataclass(frozen=True, slots=True)
class Rate:
    """One run of wrk."""

    requests_per_second: float
    p50_milliseconds: float
    p99_milliseconds: float
    cpu_milliseconds: float  # of processor time per request, used by the proxy or nginx


def measure(port: int, load: Load, connections: int, seconds: int, core: int) -> Rate:
    """Load what listens on `port`; processor time is not measured."""
    told = wrk.load(
        f"http://127.0.0.1:{port}{load.target}",
        connections=connections,
        seconds=seconds,
        core=core,
        options=["--timeout", "30s"],
        script=[] if load.body is None else [str(POST), str(load.body), load.wanted],
    )
    if load.body is not None and wrk.find(r"Wrong answers: (\d+)", told.text) != "0":
        sys.exit(f"{load.name} failed on port {port}:\n{told.text}")
    return Rate(
        requests_per_second=told.requests_per_second,
        p50_milliseconds=told.p50_microseconds / 1e3,
        p99_milliseconds=told.p99_microseconds / 1e3,
        cpu_milliseconds=0.0,
    )


def measure_through(server: Running, load: Load, connections: int, seconds: int, core: int) -> Rate:
    used = server.cpu_seconds()
    rate = measure(server.port, load, connections, seconds, core)
    used = server.cpu_seconds() - used
    requests = rate.requests_per_second * seconds
    return replace(rate, cpu_milliseconds=used / requests * 1e3)


def call(url: str, method: str, body: bytes | None = None) -> None:
    """Send a request. Raises: HTTPError unless the answer is 2xx."""
    headers = {"Content-Type": "application/x-ndjson"}
    request = urllib.request.Request(url, body, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()


def documents(count: int) -> bytes:
    """A bulk body of small documents of about the same size."""
    lines = []
    for number in range(count):
        lines.append(b'{"index":{}}')
        document = {"number": number, "title": f"document {number}", "text": "some words " * 20}
        lines.append(json.dumps(document).encode())
    return b"\n".join(lines) + b"\n"


def empty_index(base: str, name: str) -> None:
    call(f"{base}/{name}?ignore_unavailable=true", "DELETE")
    settings = {"number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": -1}
    call(f"{base}/{name}", "PUT", json.dumps({"settings": settings}).encode())


def prepare(base: str, folder: Path) -> list[Load]:
    """The loads; what they need is put into Elasticsearch."""
    empty_index(base, "searched")
    call(f"{base}/searched/_bulk?refresh=true", "POST", documents(DOCUMENTS))
    body = documents(BULK_BYTES // (len(documents(100)) // 100))
    (folder / "bulk").write_bytes(body)
    return [
        Load("_search", "/searched/_search?size=10", None),
        Load("_bulk", f"/{FILLED}/_bulk", folder / "bulk", '"errors":false'),
    ]


@contextmanager
def elasticsearch(core: int) -> Iterator[RunningElasticsearch]:
    """An Elasticsearch that is pinned to a core."""
    running = start_elasticsearch(java_options=JAVA_OPTIONS, version=DEFAULT_VERSION)
    try:
        for pid in processes(running.pid):
            command = ["taskset", "--all-tasks", "--cpu-list", "--pid", str(core), str(pid)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        yield running
    finally:
        running.stop()


def processes(pid: int) -> list[int]:
    """A process and its descendants."""
    return [pid, *(below for child in children_of(pid) for below in processes(child))]


def run(seconds: int, rounds: int) -> dict[str, Any]:
    """All measurements by load and subject, one entry per round."""
    cores = Cores.here()
    rates: Rates = {}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)  # nginx's workers run as another user
        os.environ["XDG_STATE_HOME"] = name
        running = stack.enter_context(elasticsearch(cores.load))
        commands = {
            "nginx": nginx_proxy(folder, PORT, running.port),
            "proxy": proxy(folder, PORT + 1, running.port),
        }
        servers = [
            stack.enter_context(start(name, command, PORT + number, cores.subject))
            for number, (name, command) in enumerate(commands.items())
        ]
        loads = prepare(running.url, folder)
        for load in loads:
            empty_index(running.url, FILLED)
            measure(servers[-1].port, load, max(CONNECTIONS), WARM_UP, cores.load)
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", flush=True)
            for load, connections in itertools.product(loads, CONNECTIONS):
                row = rates.setdefault(f"{load.name}, connections: {connections}", {})
                how = (load, connections, seconds, cores.load)
                empty_index(running.url, FILLED)
                row.setdefault("direct", []).append(asdict(measure(running.port, *how)))
                for server in servers:
                    empty_index(running.url, FILLED)
                    row.setdefault(server.name, []).append(asdict(measure_through(server, *how)))
        sizes = {"bulk_bytes": (folder / "bulk").stat().st_size}
    return {
        "machine": {
            "cores": asdict(cores),
            "processor": processor(),
            "elasticsearch": running.version,
        },
        **sizes,
        "seconds": seconds,
        "rates": rates,
    }


def report(results: dict[str, Any]) -> str:
    """The medians as a table; ratios are medians of those within a round."""

    columns = ("requests/s", "of direct", "p50 ms", "of direct", "p99 ms", "cpu ms")
    lines = []
    for label, rows in results["rates"].items():
        lines.append(f"{label:26}" + "".join(f"{column:>12}" for column in columns))
        for subject, entries in rows.items():
            line = f"  {subject:24}"
            for key in ("requests_per_second", "p50_milliseconds"):
                line += f"{median(entries, key):12.2f}{ratio(entries, rows['direct'], key):12.2f}"
            for key in ("p99_milliseconds", "cpu_milliseconds"):
                line += f"{median(entries, key):12.2f}"
            lines.append(line)
    return "\n".join(lines) + "\n"


def main() -> None:
    options = options_of(__doc__, seconds=6)
    install_tools()
    results = run(options.seconds, options.rounds)
    write("elasticsearch", results, report(results))


if __name__ == "__main__":
    main()
