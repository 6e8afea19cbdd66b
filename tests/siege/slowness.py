"""How slow a machine is just now: `python -m tests.siege.slowness` writes a number of at least 1.

What is allowed to an attack was found on a machine whose Python adds a number in 30 ns. Where that
takes longer, as the machine is another one or busy with something else, all that the proxy does for
others takes longer, too.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Final

QUICK: Final = 30e-9  # seconds for each number
NUMBERS: Final = 50_000
TIMES: Final = 7


def measured() -> float:
    """Seconds for each number, now."""
    began = time.perf_counter()
    total = 0
    for number in range(NUMBERS):
        total += number
    return (time.perf_counter() - began) / NUMBERS


if __name__ == "__main__":
    seconds = statistics.median(measured() for _ in range(TIMES))
    sys.stdout.write(f"slower {max(1.0, seconds / QUICK):.2f}\n")
