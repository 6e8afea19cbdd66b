"""How long a thousand texts take, beside asking the model for them directly.

    python -m bench.texts [--rounds N]

They come in one request, or as the chunks of documents in a `_bulk` into a semantic field. The
model is the local MiniLM, on a core that it shares with the caller and Elasticsearch; the proxy has
the other. Directly, the caller sends batches of 32, one after the other. Rounds are interleaved,
and ratios are taken within a round. Results are written to bench/results/: texts.json, and a table
in texts.txt.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench.client import Client
from bench.elasticsearch import elasticsearch
from bench.endpoints import EMBEDDING, put_endpoint, start_proxy
from bench.layer import CHUNKS, INFERENCE, WARM_UPS, WORDS, bulk_body, mappings, serving
from bench.results import median, options_of, processor, ratio, write
from bench.subjects import Cores, pinned, start
from demo.corpus import passages
from testbed.processes import proxy_command

TEXTS: Final = 1000
BATCH: Final = 32
PROVIDER: Final = 19195
PROXY: Final = 19196
BEHIND: Final = 19197  # a proxy in front of Elasticsearch
# At most: through the proxy, of the time that asking the model takes.
WANTED: Final = {"texts": 1.05, "bulk": 1.1}
MODELS: Final = 300.0  # seconds in which the model must have loaded, or been downloaded
Rows = dict[str, list[dict[str, float]]]
Way = Callable[[], int]  # the number of vectors


def directly(caller: Client, texts: list[str]) -> int:
    """The number of vectors."""
    batches = (texts[start : start + BATCH] for start in range(0, len(texts), BATCH))
    return sum(len(caller("POST", "/embed", {"inputs": batch})) for batch in batches)


def through_proxy(caller: Client, texts: list[str]) -> int:
    """The number of vectors."""
    answer = caller("POST", f"{EMBEDDING}?timeout=5m", {"input": texts})
    return len(answer["text_embedding"])


def into_a_field(caller: Client, body: bytes) -> int:
    """The number of vectors."""
    answer = caller("POST", "/bulk/_bulk?timeout=5m", body)
    return 0 if answer["errors"] else len(answer["items"]) * CHUNKS


def chunks_of(body: bytes) -> list[str]:
    """The chunks that a semantic field makes of the documents in a bulk request."""
    texts = [json.loads(line)["body"].split(" ") for line in body.splitlines()[1::2]]
    return [
        " ".join(words[at : at + WORDS]) for words in texts for at in range(0, len(words), WORDS)
    ]


def run(rounds: int) -> dict[str, Rows]:
    """The seconds of each way, for texts in a request and in a bulk."""
    cores = Cores.here()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        os.environ["XDG_STATE_HOME"] = name
        listen = ["--listen", f"127.0.0.1:{PROVIDER}"]
        command = proxy_command("provider", *listen, "--no-chat")
        stack.enter_context(start("model", command, PROVIDER, cores.stub, patience=MODELS))
        model = Client(PROVIDER)
        return {
            "texts": in_a_request(Path(name), cores, model, rounds),
            "bulk": in_a_bulk(Path(name), cores, model, rounds),
        }


def in_a_request(folder: Path, cores: Cores, model: Client, rounds: int) -> Rows:
    texts = list(itertools.islice(itertools.cycle(one.text for one in passages()), TEXTS))
    with ExitStack() as stack:
        start_proxy("proxy", folder, PROXY, cores.subject, stack)
        through = Client(PROXY)
        put_endpoint(through, EMBEDDING, f"http://127.0.0.1:{PROVIDER}/embed")
        stack.enter_context(pinned(cores.load))
        ways = {
            "direct": lambda: directly(model, texts),
            "proxy": lambda: through_proxy(through, texts),
        }
        return timed(ways, len(texts), rounds, warm_ups=1)


def in_a_bulk(folder: Path, cores: Cores, model: Client, rounds: int) -> Rows:
    body = bulk_body(TEXTS // CHUNKS)
    chunks = chunks_of(body)
    with ExitStack() as stack:
        running = stack.enter_context(elasticsearch(cores.load))
        command = serving(folder, BEHIND, running.port, layer=True)
        stack.enter_context(start("proxy", command, BEHIND, cores.subject))
        through = Client(BEHIND)
        put_endpoint(through, INFERENCE, f"http://127.0.0.1:{PROVIDER}/embed")
        stack.enter_context(pinned(cores.load))
        ways = {
            "direct": lambda: directly(model, chunks),
            "proxy": lambda: into_a_field(through, body),
        }

        def empty() -> None:
            through("DELETE", "/bulk?ignore_unavailable=true")
            through("PUT", "/bulk", mappings())

        return timed(ways, len(chunks), rounds, warm_ups=WARM_UPS, before=empty)


def timed(
    ways: dict[str, Way],
    count: int,
    rounds: int,
    *,
    warm_ups: int,
    before: Callable[[], None] = lambda: None,
) -> Rows:
    """The seconds of each way, by round; exits if one has not so many vectors."""
    rows: Rows = {}
    for number in range(-warm_ups, rounds):
        for way, ask in ways.items() if number % 2 else reversed(ways.items()):
            before()
            began = time.perf_counter()
            if (found := ask()) != count:
                sys.exit(f"{way} gave {found} vectors for {count} texts")
            taken = time.perf_counter() - began
            if number >= 0:
                rows.setdefault(way, []).append({"seconds": taken})
                print(f"round {number + 1}  {way:7} {taken:6.2f} s", flush=True)
    return rows


def found(rows: Rows) -> float:
    """Through the proxy, of the time that asking the model takes."""
    return ratio(rows["proxy"], rows["direct"], "seconds")


def report(results: dict[str, Rows]) -> str:
    lines = [f"{TEXTS} texts, embedded by the local MiniLM: {processor()}", ""]
    for way, what in (("texts", "in one request"), ("bulk", "as chunks in a bulk")):
        times = {name: median(entries, "seconds") for name, entries in results[way].items()}
        shown = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in times.items())
        lines.append(f"{what:20} {found(results[way]):.2f} (<= {WANTED[way]}); {shown}")
    return "\n".join(lines) + "\n"


def main() -> None:
    options = options_of(__doc__, seconds=1)
    results = run(options.rounds)
    write("texts", {"processor": processor(), **results}, report(results))
    if any(found(results[way]) > most for way, most in WANTED.items()):
        sys.exit(1)


if __name__ == "__main__":
    main()
