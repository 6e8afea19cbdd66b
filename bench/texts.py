"""How long a thousand texts in one request take, beside asking the model for them directly.

    python -m bench.texts [--rounds N]

The model is the local MiniLM, on a core that it shares with the caller; the proxy has the other.
Directly, the caller sends batches of 32, one after the other. Rounds are interleaved, and ratios
are taken within a round. Results are written to bench/results/: texts.json, and a table in
texts.txt.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench.client import Client
from bench.endpoints import EMBEDDING, put_endpoint, start_proxy
from bench.results import median, options_of, processor, ratio, write
from bench.subjects import Cores, pinned, start
from demo.corpus import passages
from testbed.processes import proxy_command

TEXTS: Final = 1000
BATCH: Final = 32
PROVIDER: Final = 19195
PROXY: Final = 19196
WANTED: Final = 1.05  # at most: through the proxy, of the time that asking the model takes
MODELS: Final = 300.0  # seconds in which the model must have loaded, or been downloaded
Rows = dict[str, list[dict[str, float]]]


def directly(caller: Client, texts: list[str]) -> int:
    """The number of vectors."""
    batches = (texts[start : start + BATCH] for start in range(0, len(texts), BATCH))
    return sum(len(caller("POST", "/embed", {"inputs": batch})) for batch in batches)


def through_proxy(caller: Client, texts: list[str]) -> int:
    """The number of vectors."""
    answer = caller("POST", f"{EMBEDDING}?timeout=5m", {"input": texts})
    return len(answer["text_embedding"])


def run(rounds: int) -> Rows:
    cores = Cores.here()
    rows: Rows = {}
    texts = list(itertools.islice(itertools.cycle(one.text for one in passages()), TEXTS))
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        listen = ["--listen", f"127.0.0.1:{PROVIDER}"]
        command = proxy_command("provider", *listen, "--no-chat")
        stack.enter_context(start("model", command, PROVIDER, cores.stub, patience=MODELS))
        start_proxy("proxy", Path(name), PROXY, cores.subject, stack)
        put_endpoint(Client(PROXY), EMBEDDING, f"http://127.0.0.1:{PROVIDER}/embed")
        stack.enter_context(pinned(cores.load))
        ways = {"direct": (directly, Client(PROVIDER)), "proxy": (through_proxy, Client(PROXY))}
        for number in range(-1, rounds):  # the first warms up
            for way, (ask, caller) in ways.items() if number % 2 else reversed(ways.items()):
                began = time.perf_counter()
                if (count := ask(caller, texts)) != TEXTS:
                    sys.exit(f"{way} gave {count} vectors for {TEXTS} texts")
                taken = time.perf_counter() - began
                if number >= 0:
                    rows.setdefault(way, []).append({"seconds": taken})
                    print(f"round {number + 1}  {way:7} {taken:6.2f} s", flush=True)
    return rows


def report(rows: Rows) -> str:
    lines = [f"{TEXTS} texts, embedded by the local MiniLM: {processor()}", ""]
    lines += [f"{way:7} {median(entries, 'seconds'):6.2f} s" for way, entries in rows.items()]
    found = ratio(rows["proxy"], rows["direct"], "seconds")
    lines.append(f"one request to the proxy / batches of {BATCH}: {found:.2f} (<= {WANTED})")
    return "\n".join(lines) + "\n"


def main() -> None:
    options = options_of(__doc__, seconds=1)
    rows = run(options.rounds)
    write("texts", {"processor": processor(), "rows": rows}, report(rows))
    if ratio(rows["proxy"], rows["direct"], "seconds") > WANTED:
        sys.exit(1)


if __name__ == "__main__":
    main()
