"""Speed of inference: the proxy in three ways, the shortest aiohttp handler, and LiteLLM.

    python -m bench.inference [--seconds N] [--rounds N]

Each has a core to itself; the load and a provider that answers at once share another. Every request
has a text of its own, except where the cache is measured: there a thousand texts come again and
again. Rounds are interleaved, and ratios are taken within a round. LiteLLM is installed into the
cache folder; where that fails, it is left out. Results are written to bench/results/:
inference.json, and a table in inference.txt.
"""

from __future__ import annotations

import math
import platform
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bench import wrk
from bench.client import Client
from bench.endpoints import EMBEDDING, put_endpoint, start_proxy
from bench.results import median, options_of, processor, ratio, write
from bench.subjects import Cores, Running, install_tools, start
from proxy.modelserver.packages import cache_folder

TEXTS: Final = Path(__file__).parent / "texts.lua"
PROVIDER: Final = 19160
FIRST_PORT: Final = 19161
CONNECTIONS: Final = (1, 16, 64)
HANDLER, PROXY, LITELLM = "handler", "proxy", "litellm"
ALONE: Final = "provider"  # with nothing before it; only for how long it takes for one connection
TOGETHER, CACHED = "coalescing", "cached"  # the proxy twice more, by what it does
SETTINGS: Final = {
    PROXY: "{}",
    TOGETHER: "provider: {coalescing: true}",
    CACHED: "cache: {bytes: 67108864}",
}
CACHED_TEXTS: Final = 1000
OPENAI_TARGET: Final = "/v1/embeddings"  # of LiteLLM, and of the provider
LITELLM_CONFIG: Final = """
model_list:
  - model_name: bench
    litellm_params: {{model: openai/bench, api_base: "{url}/v1", api_key: x}}
litellm_settings: {{telemetry: false}}
general_settings: {{dangerously_permit_weak_or_unset_master_key: true}}
"""
# Requests per second, by connections: of the handler's where texts travel together; of LiteLLM's
# there, and where they are in the cache.
OF_HANDLER: Final = {1: 0.85, 16: 1.5, 64: 2.0}
OF_LITELLM: Final = {16: {TOGETHER: 60, CACHED: 100}, 64: {TOGETHER: 60, CACHED: 100}}
ADDED: Final = 0.03  # of what LiteLLM adds to the provider's median, at one connection
Rates = dict[int, dict[str, list[dict[str, float]]]]


@dataclass(frozen=True, slots=True)
class Rate:
    """One run of wrk."""

    requests_per_second: float
    p50_microseconds: float
    p99_microseconds: float
    cpu_microseconds: float  # of the server's processor time, per request


def measure(server: Running, connections: int, seconds: int, core: int) -> Rate:
    """Exits if an answer is wrong."""
    is_openai = server.name in (LITELLM, ALONE)
    arguments = {CACHED: ["", str(CACHED_TEXTS)]}.get(server.name, ["bench"] if is_openai else [])
    used = server.cpu_seconds()
    told = wrk.load(
        f"http://127.0.0.1:{server.port}{OPENAI_TARGET if is_openai else EMBEDDING}",
        connections=connections,
        seconds=seconds,
        core=core,
        options=["--timeout", "30s"],
        script=[str(TEXTS), *arguments],
    )
    if wrk.find(r"Wrong answers: (\d+)", told.text) != "0":
        sys.exit(f"{server.name} answered wrongly:\n{told.text}")
    return Rate(
        requests_per_second=told.requests_per_second,
        p50_microseconds=told.p50_microseconds,
        p99_microseconds=told.p99_microseconds,
        cpu_microseconds=(server.cpu_seconds() - used) / told.requests * 1e6,
    )


def start_with_endpoint(name: str, folder: Path, url: str, core: int, stack: ExitStack) -> Running:
    """The proxy with an endpoint; `name` is one of SETTINGS."""
    port = FIRST_PORT + [*SETTINGS].index(name)
    server = start_proxy(name, folder, port, core, stack, SETTINGS[name])
    put_endpoint(Client(port), EMBEDDING, f"{url}/embed")
    return server


def start_handler(url: str, core: int, stack: ExitStack) -> Running:
    port = FIRST_PORT + 3
    command = [sys.executable, "-m", "bench.plaininference", f"{url}/embed", str(port)]
    return stack.enter_context(start(HANDLER, command, port, core))


def start_litellm(folder: Path, url: str, core: int, stack: ExitStack) -> Running | None:
    """None where it cannot be had."""
    binary = install_litellm()
    if binary is None:
        return None
    config = folder / "litellm.yml"
    config.write_text(LITELLM_CONFIG.format(url=url))
    port = FIRST_PORT + 4
    command = [str(binary), "--config", str(config), "--port", str(port), "--host", "127.0.0.1"]
    return stack.enter_context(start(LITELLM, command, port, core, patience=120))


def install_litellm() -> Path | None:
    """Its command, in an environment of its own."""
    home = cache_folder() / "litellm"
    binary, marker = home / "bin" / "litellm", home / ".installed"
    if not marker.exists():
        print("installing LiteLLM")
        install = [str(home / "bin" / "python"), "-m", "pip", "install", "-q", "litellm[proxy]"]
        try:
            subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
            subprocess.run(install, check=True, timeout=900)
        except (subprocess.SubprocessError, OSError) as error:
            print(f"LiteLLM is left out, as it cannot be installed: {type(error).__name__}")
            return None
        marker.touch()
    return binary


def run(seconds: int, rounds: int) -> dict[str, Any]:
    """All measurements, by connections and by server, one entry per round."""
    cores = Cores.here()
    rates: Rates = {connections: {} for connections in CONNECTIONS}
    url = f"http://127.0.0.1:{PROVIDER}"
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        command = [sys.executable, "-m", "bench.embedder", str(PROVIDER)]
        provider = stack.enter_context(start(ALONE, command, PROVIDER, cores.stub))
        servers = [
            *(
                start_with_endpoint(kind, Path(name), url, cores.subject, stack)
                for kind in SETTINGS
            ),
            start_handler(url, cores.subject, stack),
        ]
        if (litellm := start_litellm(Path(name), url, cores.subject, stack)) is not None:
            servers.append(litellm)
        for number in range(rounds):
            for connections in CONNECTIONS:
                measured = [*servers, provider] if connections == 1 else servers
                for server in measured if number % 2 else measured[::-1]:
                    rate = measure(server, connections, seconds, cores.load)
                    rates[connections].setdefault(server.name, []).append(asdict(rate))
                    shown = f"{rate.requests_per_second:9.0f}/s {rate.cpu_microseconds:8.1f} us"
                    print(
                        f"round {number + 1}  {connections:3} {server.name:10} {shown}", flush=True
                    )
    return {
        "machine": {"processor": processor(), "python": platform.python_version()},
        "seconds": seconds,
        "rates": rates,
    }


def report(rates: Rates) -> str:
    """The medians as a table, ratios of the handler's and of LiteLLM's."""
    lines = []
    columns = ("requests/s", "of handler", "of LiteLLM", "cpu us", "p50 us", "p99 us")
    for connections, rows in rates.items():
        heading = f"connections: {connections}"
        lines.append(f"{heading:18}" + "".join(f"{column:>12}" for column in columns))
        for server, entries in rows.items():
            lines.append(
                f"{server:18}{median(entries, 'requests_per_second'):12.0f}"
                f"{of(rows, server, HANDLER):12.2f}{of(rows, server, LITELLM):12.1f}"
                f"{median(entries, 'cpu_microseconds'):12.1f}"
                f"{median(entries, 'p50_microseconds'):12.0f}"
                f"{median(entries, 'p99_microseconds'):12.0f}"
            )
        lines += ["wanted: " + "; ".join(told for told, _ in bars(connections, rows)), ""]
    return "\n".join(lines)


def of(rows: dict[str, list[dict[str, float]]], server: str, other: str) -> float:
    """The ratio of their requests per second; NaN where the other one is left out."""
    return ratio(rows[server], rows[other], "requests_per_second") if other in rows else math.nan


def bars(connections: int, rows: dict[str, list[dict[str, float]]]) -> list[tuple[str, bool]]:
    """What is wanted, in words, and whether it is missed."""
    wanted = [(TOGETHER, HANDLER, OF_HANDLER[connections])]
    wanted += [(name, LITELLM, bar) for name, bar in OF_LITELLM.get(connections, {}).items()]
    told = [
        (f"{server} {bar} of {other}", of(rows, server, other) < bar)
        for server, other, bar in wanted
    ]
    if ALONE in rows and LITELLM in rows:
        added = added_of_litellm(rows)
        told.append((f"{PROXY} adds {ADDED} of what {LITELLM} adds: {added:.3f}", added > ADDED))
    return told


def added_of_litellm(rows: dict[str, list[dict[str, float]]]) -> float:
    """What the proxy adds to the provider's median time, of what LiteLLM adds."""
    proxy, litellm, alone = (
        [entry["p50_microseconds"] for entry in rows[name]] for name in (PROXY, LITELLM, ALONE)
    )
    return statistics.median(
        (one - base) / (other - base)
        for one, other, base in zip(proxy, litellm, alone, strict=True)
    )


def main() -> None:
    options = options_of(__doc__, seconds=3)
    install_tools()
    results = run(options.seconds, options.rounds)
    rates: Rates = results["rates"]
    write("inference", results, report(rates))
    if any(missed for connections in rates for _, missed in bars(connections, rates[connections])):
        sys.exit(1)


if __name__ == "__main__":
    main()
