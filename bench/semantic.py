"""How fast texts are cut into chunks.

    python -m bench.semantic [--seconds N] [--rounds N]

English prose, the demonstration's passages in paragraphs, is chunked by each strategy, as long
texts and as short ones. Figures are megabytes of text in a second of processor time on one core,
the median of the rounds. Results are written to bench/results/: semantic.json, and a table in
semantic.txt.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from bench.results import median, options_of, processor, write
from demo.corpus import passages
from proxy.inference.chunking import parse_chunking
from proxy.semantic.chunking.chunker import Chunker, chunker_for

SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "word": {"strategy": "word", "max_chunk_size": 250, "overlap": 100},
    "sentence": {},
    "recursive, plaintext": {"strategy": "recursive", "max_chunk_size": 250},
    "recursive, markdown": {
        "strategy": "recursive",
        "max_chunk_size": 250,
        "separator_group": "markdown",
    },
    "recursive, own separators": {
        "strategy": "recursive",
        "max_chunk_size": 250,
        "separators": [r"\n\n+", r"(?<=[.!?])\s+(?=[A-Z])"],
    },
}
LENGTHS: Final = {"2 KB": 2_000, "64 KB": 64_000, "1 MB": 1_000_000}  # of a text
ALL: Final = 1_000_000  # characters of all texts of one length together
WANTED: Final = 10.0  # megabytes per second
Speeds = dict[str, dict[str, list[dict[str, float]]]]  # by strategy and length, one each round


def prose() -> str:
    """About a megabyte of paragraphs, each of four passages."""
    texts = itertools.cycle(passage.text for passage in passages())
    length = 0
    paragraphs = []
    while length < ALL:
        paragraphs.append(" ".join(itertools.islice(texts, 4)))
        length += len(paragraphs[-1]) + 2
    return "\n\n".join(paragraphs)


def texts_of(text: str, length: int) -> list[str]:
    return [text[start : start + length] for start in range(0, ALL, length)]


def speed(chunker: Chunker, texts: Sequence[str], seconds: float) -> float:
    """Megabytes per second of processor time, the texts chunked as often as `seconds` allow."""
    size = sum(len(text.encode()) for text in texts)
    done, begun = 0, time.thread_time()
    while (spent := time.thread_time() - begun) < seconds:
        for text in texts:
            chunker.chunks(text)
        done += size
    return done / spent / 1e6


def run(seconds: float, rounds: int) -> Speeds:
    """All strategies and lengths in turn, `rounds` times."""
    chunkers = {name: chunker_for(parse_chunking(given)) for name, given in SETTINGS.items()}
    text = prose()
    results: Speeds = {name: {length: [] for length in LENGTHS} for name in SETTINGS}
    for number in range(rounds):
        print(f"Round {number + 1} of {rounds}")
        for name, length in itertools.product(SETTINGS, LENGTHS):
            megabytes = speed(chunkers[name], texts_of(text, LENGTHS[length]), seconds)
            results[name][length].append({"megabytes_per_second": megabytes})
    return results


def report(results: Speeds) -> str:
    return "\n".join(rows(results)) + "\n"


def rows(results: Speeds) -> Iterator[str]:
    yield f"Chunking, megabytes per second and core: {processor()}"
    yield ""
    yield f"{'strategy':<28}" + "".join(f"{length:>10}" for length in LENGTHS)
    for name, speeds in results.items():
        figures = (median(speeds[length], "megabytes_per_second") for length in LENGTHS)
        yield f"{name:<28}" + "".join(f"{figure:>10.1f}" for figure in figures)


def slowest(results: Speeds) -> float:
    return min(
        median(entries, "megabytes_per_second")
        for speeds in results.values()
        for entries in speeds.values()
    )


def main() -> None:
    options = options_of(__doc__, seconds=1)
    results = run(options.seconds, options.rounds)
    write("semantic", {"processor": processor(), "speeds": results}, report(results))
    if slowest(results) < WANTED:
        sys.exit(1)


if __name__ == "__main__":
    main()
