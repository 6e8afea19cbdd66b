"""Everything that is measured: `python -m bench [forwarding | elasticsearch] [options]`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from bench import elasticsearch, forwarding

PARTS: Final[dict[str, Callable[[], None]]] = {
    "forwarding": forwarding.main,
    "elasticsearch": elasticsearch.main,
}


def main() -> None:
    """Those parts that are named first, or all; the options are for each of them."""
    named = [argument for argument in sys.argv[1:] if argument in PARTS]
    sys.argv[1:] = [argument for argument in sys.argv[1:] if argument not in PARTS]
    for name in named or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main()
