"""`python -m tests.torture`: kill proxies and Elasticsearch under load; nothing may be lost.

Exits with 1 if something is. The same seed plans the same rounds, though their timing varies.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys

from tests.torture.bulkrounds import torture_bulks
from tests.torture.rounds import torture
from tests.torture.stage import Store


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="shared by the stores")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--store", choices=[*Store, "both"], default="both")
    parser.add_argument("--bulks", type=int, default=20, help="rounds of bulks of documents")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stores = list(Store) if options.store == "both" else [Store(options.store)]
    say(f"seed {options.seed}")
    is_whole = True
    for store in stores:
        rounds = options.rounds // len(stores)
        figures = asyncio.run(torture(store, rounds=rounds, seed=options.seed, tell=say))
        say(f"{store}, in all: {figures}")
        is_whole = is_whole and not figures.faults
    if options.bulks:
        of_bulks = asyncio.run(torture_bulks(rounds=options.bulks, seed=options.seed, tell=say))
        say(f"bulks, in all: {of_bulks}")
        is_whole = is_whole and not of_bulks.faults
    return 0 if is_whole else 1


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
