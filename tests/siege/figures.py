"""What the unrelated caller's waits and the proxy's memory say about an attack."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.siege.catalogue import Attack
from tests.siege.probe import KINDS, LARGE_TIMEOUT

# On a machine as quick as `slowness` has it; on a slower one as much more.
MEDIAN: Final = 0.05  # seconds by which the median wait may grow
WORST: Final = 0.3  # seconds by which the worst may
MEMORY: Final = 200  # MiB beyond `limits.memory`
LOG: Final = 1 << 20  # characters that the proxy may write meanwhile
SMALL: Final = ("forward", "infer")


@dataclass(frozen=True, slots=True)
class Wait:
    """One request of the unrelated caller; `status` is None while there is no answer."""

    kind: str
    began: float
    waited: float  # seconds
    status: int | None

    @classmethod
    def read(cls, line: str) -> Wait:
        kind, began, waited, status = line.split()
        return cls(kind, float(began), float(waited), int(status))

    @property
    def next_asked(self) -> float:
        """When the next request of the kind follows."""
        return self.began + max(self.waited, KINDS[self.kind].pace)

    @property
    def is_refused(self) -> bool:
        """Whether it had to suffer from others; larger ones may run out of time."""
        return self.status in (0, 429) or (self.kind in SMALL and self.status not in (None, 200))


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds that small requests waited, the kind that had to wait longer."""

    median: float
    worst: float

    @classmethod
    def of(cls, waits: Sequence[Wait]) -> Waits:
        by_kind = [[one.waited for one in waits if one.kind == kind] for kind in SMALL]
        return cls(
            max(statistics.median(seconds) for seconds in by_kind if seconds),
            max(max(seconds) for seconds in by_kind if seconds),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """An attack, and what came of it."""

    attack: Attack
    quiet: Waits  # before it
    besieged: Waits
    late: float  # seconds that a larger inference took beyond its time-out
    refused: Counter[int | None]  # answers to others, by status
    idle: float  # MiB of the proxy before it
    peak: float  # MiB
    allowed: int  # MiB
    slower: float = 1.0  # how much slower the machine was than one that bounds are for
    broken: list[str] = field(default_factory=list)  # what the attacker saw
    answers: str = ""  # what the attacker got

    @property
    def median(self) -> float:
        return self.besieged.median - self.quiet.median

    @property
    def worst(self) -> float:
        return max(self.besieged.worst - self.quiet.worst, self.late)

    @property
    def misses(self) -> list[str]:
        """What does not hold."""
        found = []
        if self.median > MEDIAN * self.slower:
            found.append("median wait")
        if self.worst > WORST * self.slower:
            found.append("worst wait")
        if self.peak > self.allowed:
            found.append("memory")
        if self.refused:
            found += [f"others got {_counts(self.refused)}"]
        return found + self.broken

    def __str__(self) -> str:
        grown = max(self.peak - self.idle, 0.0)
        line = f"{self.attack.family:2} {self.attack.name:26}"
        line += f" median {self.median * 1000:+8.1f} ms  worst {self.worst * 1000:+8.1f} ms"
        if self.slower > 1:
            line += f"  on a machine {self.slower:.1f} times slower"
        line += f"  memory {grown:+6.0f} MiB, {self.peak:5.0f} of {self.allowed}"
        line += f"  {'FAILED: ' + ', '.join(self.misses) if self.misses else 'ok'}"
        return f"{line}  ({self.answers})"


def _counts(statuses: Counter[int | None]) -> str:
    return " ".join(f"{status or 'no answer'} x {count}" for status, count in statuses.items())


def late_by(waits: Sequence[Wait]) -> float:
    """Seconds by which the latest of the larger inferences missed its time-out."""
    return max((one.waited - LARGE_TIMEOUT for one in waits if one.kind == "large"), default=0.0)
