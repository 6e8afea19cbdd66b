"""What the semantic layer costs: those who use it, and those who do not.

    python -m bench.layer [--seconds N] [--rounds N]

Plain requests go through proxies with and without the layer, nginx standing in for Elasticsearch.
Bulk requests and searches go to a real one, directly with ready vectors and through the proxy,
which gets its vectors from a provider that answers at once. The proxies have a core to themselves;
all others share the other one. Rounds are interleaved, and ratios are taken within a round.
Results are written to bench/results/: layer.json, and a table in layer.txt.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from bench import wrk
from bench.client import Client
from bench.elasticsearch import POST, elasticsearch
from bench.endpoints import put_endpoint
from bench.results import difference, median, options_of, processor, ratio, write
from bench.semantic import prose
from bench.stub import VECTOR
from bench.subjects import Cores, Running, install_tools, nginx, pinned, proxy, start

FIRST_PORT: Final = 19170
CONNECTIONS: Final = 32
DOCUMENTS: Final = 2000  # of a bulk request
CHUNKS: Final = 3  # of each document
WORDS: Final = 40  # of a chunk
SEARCHES: Final = 100  # in each round
WARM_UPS: Final = 8  # rounds that do not count, for Java's compilers
LARGE: Final = 200 * 2**20  # bytes of a bulk request
FILLER: Final = 20_000  # of each of its documents
INDICES: Final = 100  # with semantic fields
# What is measured, what it is compared with, and the bar: at least, or for times at most.
AT_LEAST: Final = {"none": 0.98, "some": 0.95, "bulk": 0.8}
SEARCH_MILLISECONDS: Final = 1.5
MEMORY_MIB: Final = 100.0
STATE: Final = {
    "/_cluster/state/version": {"state_uuid": "same"},
    "/_all/_mapping": {},
    "/_index_template": {},
    "/_component_template": {},
    "/_template": {},
    "/_ingest/pipeline": {},
    "/plain": {"plain": {"aliases": {}}},
    "/plain/_mapping": {"plain": {"mappings": {}}},
}
INFERENCE: Final = "/_inference/text_embedding/embed"
LAYER: Final = "HFPROXY_SEMANTIC_ENABLED"
Rows = dict[str, list[dict[str, float]]]


def upstream(folder: Path, port: int, indices: list[str]) -> list[str]:
    """An nginx that answers as an Elasticsearch in which these indices have semantic fields."""
    declared = {"xinf.body.def1": {"keyword": {"indices": indices}}} if indices else {}
    answers = {**STATE, "/_all/_field_caps": {"indices": ["plain"], "fields": declared}}
    places = "".join(
        f"location = {path} {{ return 200 '{json.dumps(answer)}'; }}\n"
        for path, answer in answers.items()
    )
    document = json.dumps({"found": True, "filler": "x" * 300})
    body = (
        f"server {{ listen 127.0.0.1:{port} backlog=1024;\n{places}"
        f"location / {{ return 200 '{document}'; }} }}"
    )
    return nginx(folder, f"upstream-{port}", body)


def serving(folder: Path, port: int, upstream: int, *, layer: bool) -> list[str]:
    """A proxy's command, with the layer on or off."""
    return [
        "env",
        f"{LAYER}={str(layer).lower()}",
        "HFPROXY_ADMIN_LISTEN=",
        *proxy(folder, port, upstream),
    ]


# Those who do not use it


def plain_requests(folder: Path, cores: Cores, seconds: int, rounds: int) -> dict[str, Rows]:
    """Requests per second of plain indices, by request and proxy."""
    search = folder / "search"
    search.write_bytes(b'{"query":{"match":{"title":"sea"}}}')
    loads = {"GET": [], "_search": [str(POST), str(search), "found"]}
    targets = {"GET": "/plain/_doc/1", "_search": "/plain/_search"}
    results: dict[str, Rows] = {name: {} for name in loads}
    with ExitStack() as stack:
        upstreams = {FIRST_PORT: [], FIRST_PORT + 1: [f"notes-{n}" for n in range(INDICES)]}
        for port, indices in upstreams.items():
            stack.enter_context(
                start("upstream", upstream(folder, port, indices), port, cores.stub)
            )
        kinds = {
            "off": (FIRST_PORT, False),
            "none": (FIRST_PORT, True),
            "some": (FIRST_PORT + 1, True),
        }
        servers = [
            stack.enter_context(
                start(name, serving(folder, port, origin, layer=layer), port, cores.subject)
            )
            for port, (name, (origin, layer)) in enumerate(kinds.items(), FIRST_PORT + 2)
        ]
        for number, (name, script) in itertools.product(range(rounds), loads.items()):
            order = servers if number % 2 else servers[::-1]
            for server in order:
                used = server.cpu_seconds()
                run = wrk.load(
                    f"http://127.0.0.1:{server.port}{targets[name]}",
                    connections=CONNECTIONS,
                    seconds=seconds,
                    core=cores.load,
                    script=script,
                )
                spent = server.cpu_seconds() - used
                results[name].setdefault(server.name, []).append(
                    {
                        "requests_per_second": run.requests_per_second,
                        "cpu_microseconds": spent / run.requests * 1e6,
                    }
                )
                print(
                    f"round {number + 1}  {name:8} {server.name:5} "
                    f"{run.requests_per_second:9.0f}/s {spent / run.requests * 1e6:6.1f} us",
                    flush=True,
                )
    return results


# Those who do


def mappings(**more: Any) -> dict[str, Any]:
    chunking = {"strategy": "sentence", "max_chunk_size": WORDS + 10, "sentence_overlap": 0}
    field = {"type": "semantic_text", "inference_id": "embed", "chunking_settings": chunking}
    return {
        "settings": {"number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": -1},
        "mappings": {"properties": {"body": field, **more}},
    }


def texts() -> Iterator[str]:
    """Texts of three chunks each, of sentences of the prose's words."""
    words = itertools.cycle(word for word in prose().lower().split() if word.isalpha())
    while True:
        sentences = (" ".join(itertools.islice(words, WORDS)) for _ in range(CHUNKS))
        yield " ".join(f"{sentence.capitalize()}." for sentence in sentences)


def bulk_body(count: int, **more: str) -> bytes:
    lines = (json.dumps({"body": text, **more}) for text in itertools.islice(texts(), count))
    return b"".join(f'{{"index":{{}}}}\n{line}\n'.encode() for line in lines)


def with_vectors(body: bytes, stored: list[dict[str, Any]]) -> bytes:
    """The same documents with the vectors that the proxy gave them."""
    lines = body.splitlines()
    made = []
    for line, chunks in zip(lines[1::2], stored, strict=True):
        made += [lines[0], json.dumps({**json.loads(line), "xinf": chunks}).encode()]
    return b"\n".join(made) + b"\n"


def chunks_of(body: bytes) -> list[dict[str, Any]]:
    """What the layer adds to the documents of a bulk request, written by hand."""
    made = []
    for line in body.splitlines()[1::2]:
        text = json.loads(line)["body"]
        words = text.split(" ")
        places, place = [], 0
        for first in range(0, len(words), WORDS):
            length = len(" ".join(words[first : first + WORDS]))
            places.append((place, place + length))
            place += length + 1
        chunks = [
            {"embeddings": VECTOR, "field": "body", "start": begin, "end": end}
            for begin, end in places
        ]
        made.append({"body": {"chunks": chunks, "seen": {"m": {}}}})
    return made


def bulk_requests(direct: Client, through: Client, rounds: int) -> Rows:
    """Documents per second of one large bulk request after the other."""
    body = bulk_body(DOCUMENTS)
    ready = with_vectors(body, chunks_of(body))
    results: Rows = {"direct": [], "proxy": []}
    order = [("direct", direct, ready), ("proxy", through, body)]
    for number in range(-WARM_UPS, rounds):
        for name, client, sent in order if number % 2 else order[::-1]:
            through("DELETE", "/bulk?ignore_unavailable=true")
            through("PUT", "/bulk", mappings())
            began = time.perf_counter()
            client("POST", "/bulk/_bulk", sent)
            rate = DOCUMENTS / (time.perf_counter() - began)
            if number >= 0:
                results[name].append({"documents_per_second": rate})
                print(f"bulk {name:8} {rate:8.0f} documents/s", flush=True)
    return results


def searches(direct: Client, through: Client, provider: Client, rounds: int) -> Rows:
    """Milliseconds of a semantic query, and of its two steps done by hand."""
    through("PUT", "/searched", mappings())
    through("POST", "/searched/_bulk?refresh=true", bulk_body(DOCUMENTS // 2))
    semantic = {"query": {"semantic": {"field": "body", "query": "a calm sea"}}}
    knn = {"field": "xinf.body.chunks.embeddings", "k": 10, "num_candidates": 100}
    shown = {"_source": {"excludes": ["xinf"]}}

    def by_hand() -> None:
        vector = provider("POST", "/embed", {"inputs": ["a calm sea"]})[0]
        inner = {"knn": {**knn, "query_vector": vector}}
        nested = {"nested": {"path": "xinf.body.chunks", "score_mode": "max", "query": inner}}
        direct("POST", "/searched/_search", {**shown, "query": nested})

    def by_proxy() -> None:
        through("POST", "/searched/_search", semantic)

    results: Rows = {"direct": [], "proxy": []}
    for number in range(-WARM_UPS, rounds):
        times: dict[str, list[float]] = {"direct": [], "proxy": []}
        for _ in range(SEARCHES):
            times["direct"].append(timed(by_hand))
            times["proxy"].append(timed(by_proxy))
        if number >= 0:
            for name, taken in times.items():
                results[name].append({"p50_milliseconds": statistics.median(taken)})
    return results


def timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


def memory(through: Client, server: Running) -> dict[str, float]:
    """What a large bulk request adds to the proxy's memory while it passes."""
    filler = {"type": "keyword", "index": False, "doc_values": False}
    through("PUT", "/large", mappings(filler=filler))
    part = bulk_body(100, filler="x" * FILLER)
    body = part * (LARGE // len(part) + 1)
    idle = peak = server.resident_mib()
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.1):
            peak = max(peak, server.resident_mib())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        through("POST", "/large/_bulk?filter_path=errors,items.*.error", body)
    finally:
        done.set()
        watcher.join()
    return {"idle_mib": idle, "peak_mib": peak}


def on_elasticsearch(folder: Path, cores: Cores, rounds: int, *, large: bool) -> dict[str, Any]:
    with ExitStack() as stack:
        running = stack.enter_context(elasticsearch(cores.load))
        port = FIRST_PORT + 10
        command = serving(folder, port, running.port, layer=True)
        server = stack.enter_context(start("proxy", command, port, cores.subject))
        provider = [sys.executable, "-m", "bench.stub", str(port + 1)]
        stack.enter_context(start("provider", provider, port + 1, cores.stub))
        stack.enter_context(pinned(cores.load))
        through, direct, stub = Client(port), Client(running.port), Client(port + 1)
        put_endpoint(through, INFERENCE, f"http://127.0.0.1:{port + 1}/embed")
        return {
            "search": searches(direct, through, stub, rounds),
            "bulk": bulk_requests(direct, through, rounds),
            "memory": memory(through, server) if large else {},
        }


# Results


def report(results: dict[str, Any]) -> str:
    lines = [f"The semantic layer: {processor()}", ""]
    for load, rows in results["plain"].items():
        for name in ("none", "some"):
            found = ratio(rows[name], rows["off"], "requests_per_second")
            cpu = ratio(rows[name], rows["off"], "cpu_microseconds")
            what = f"plain {load}, {0 if name == 'none' else INDICES} semantic indices / layer off"
            lines.append(f"{what:56}{found:8.3f} (>= {AT_LEAST[name]}), processor time {cpu:.3f}")
    if "search" in results:
        found = ratio(results["bulk"]["proxy"], results["bulk"]["direct"], "documents_per_second")
        lines.append(f"{'bulk, texts / ready vectors':56}{found:8.3f} (>= {AT_LEAST['bulk']})")
        times = results["search"]
        added = difference(times["proxy"], times["direct"], "p50_milliseconds")
        by_hand = median(times["direct"], "p50_milliseconds")
        what = "semantic query - embedding and knn by hand, ms"
        bar = f"(<= {SEARCH_MILLISECONDS}); {by_hand:.2f} by hand"
        lines.append(f"{what:56}{added:8.2f} {bar}")
        if told := results["memory"]:
            grown = told["peak_mib"] - told["idle_mib"]
            lines.append(
                f"{'memory added by a bulk of 200 MiB, MiB':56}{grown:8.1f} (<= {MEMORY_MIB})"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    options = options_of(__doc__, seconds=3)
    install_tools()
    cores = Cores.here()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx's workers run as another user
        os.environ["XDG_STATE_HOME"] = name
        results: dict[str, Any] = {
            "processor": processor(),
            "plain": plain_requests(folder, cores, options.seconds, options.rounds),
        }
        results |= on_elasticsearch(folder, cores, options.rounds, large=True)
    write("layer", results, report(results))


if __name__ == "__main__":
    main()
