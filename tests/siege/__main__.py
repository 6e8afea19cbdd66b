"""`python -m tests.siege`: attack a proxy in every known way while somebody else uses it.

For each attack it prints by how much the median and the worst wait of an unrelated caller grew, and
how much memory the proxy took. Exits with 1 if another caller could notice an attack, or the proxy
took more than `limits.memory` and 200 MiB. The proxy has a core for itself, see `stage`. `--tree`
besieges the proxy of another source tree, to compare two.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from testbed.processes import ROOT
from tests.siege import attacks as attacks  # fills the table
from tests.siege.catalogue import ATTACKS, Attack
from tests.siege.stage import Stage


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.siege", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each attack")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="attacks, or numbers of families of them"
    )
    parser.add_argument("--tree", type=Path, default=ROOT, help="where the proxy's source is")
    parser.add_argument("--list", action="store_true", help="tell which attacks there are")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    chosen = [one for one in ATTACKS.values() if options.only is None or _is_in(options.only, one)]
    if not chosen:
        parser.error(f"no attack is called {options.only}")
    failed = 0
    with Stage(options.tree.absolute()) as stage:
        for attack in sorted(chosen, key=lambda one: one.family):
            if options.list:
                say(f"{attack.family:2} {attack.name:22} {attack.text}")
            else:
                figures = stage.besiege(attack, options.seconds)
                failed += bool(figures.misses)
                say(str(figures))
    if not options.list:
        say(f"{len(chosen)} attacks, {failed} FAILED")
    return 1 if failed else 0


def _is_in(names: list[str], attack: Attack) -> bool:
    return attack.name in names or str(attack.family) in names


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
