"""How much a server takes in one call: what is configured, what it says, and what it has shown."""

from __future__ import annotations

import re
import time
from typing import Final

from proxy.huggingface.batching import MAX_BYTES, Batch, length_of
from proxy.huggingface.calls import Refusal
from proxy.huggingface.retry import Clock

_REMEMBERED: Final = 3600.0  # seconds; then it is tried again
# A server that refuses less than this for its bytes has another reason: nothing is learned then.
_LEAST_BYTES: Final = 16 * 1024
_MOST_INPUTS: Final = re.compile(rb"maximum allowed batch size (\d{1,7})")


class Sizes:
    """The inputs and bytes of a call that a server takes; `most` inputs is what is configured."""

    def __init__(self, most: int, clock: Clock = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._told: int | None = None  # inputs, by the server's own words
        self._inputs, self._bytes = most, MAX_BYTES  # as refusals have shown
        self._learned_at: float | None = None

    @property
    def inputs(self) -> int:
        """How many one call may have."""
        self._forget()
        return min(self._most, self._inputs, self._told or self._most)

    @property
    def bytes(self) -> int:
        """How many the texts of one call may have together; a lone text may have more."""
        self._forget()
        return self._bytes

    def told(self, inputs: int | None) -> None:
        """The server says how many inputs it takes: what it has shown before no longer counts."""
        if inputs != self._told:
            self._told = inputs
            self._reset()

    def refused(self, batch: Batch, refusal: Refusal) -> None:
        """Note that it has refused several texts for their size: it gets less from now on."""
        self._forget()
        self._learned_at = self._clock()
        count = len(batch)
        if b"batch size" in refusal.body:
            found = _MOST_INPUTS.search(refusal.body)
            named = int(found[1]) if found else 0
            taken = named if 0 < named < count else max(count // 2, 1)
            self._inputs = min(self._inputs, taken)
        else:
            size = sum(map(length_of, batch.texts))
            self._bytes = min(self._bytes, max(size // 2, _LEAST_BYTES))

    def _forget(self) -> None:
        if self._learned_at is not None and self._clock() - self._learned_at > _REMEMBERED:
            self._reset()

    def _reset(self) -> None:
        self._inputs, self._bytes, self._learned_at = self._most, MAX_BYTES, None
