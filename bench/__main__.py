"""`python -m bench [PART] [options]`: run one bench, or all; the parts are listed below."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from bench import elasticsearch, forwarding, inference, layer, semantic, streams, texts

PARTS: Final[dict[str, Callable[[], None]]] = {
    "forwarding": forwarding.main,
    "inference": inference.main,
    "elasticsearch": elasticsearch.main,
    "semantic": semantic.main,
    "layer": layer.main,
    "streams": streams.main,
    "texts": texts.main,
}


def main() -> None:
    """Run the benches that are named, or all; each gets the options."""
    named = [argument for argument in sys.argv[1:] if argument in PARTS]
    sys.argv[1:] = [argument for argument in sys.argv[1:] if argument not in PARTS]
    for name in named or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main()
