"""A number by which the processes of one proxy tell each other that something has changed."""

from __future__ import annotations

import mmap
import secrets
from typing import Final

_BYTES: Final = 8


class Epoch:
    """Is another one after every `renew`, also in processes that were forked after it was made.

    Reading it costs no system call, so that it can be done for every request.
    """

    def __init__(self) -> None:
        # Anonymous memory stays shared after a fork. It is unmapped once nothing refers to it.
        self.cell: Final = memoryview(mmap.mmap(-1, _BYTES)).cast("Q")  # of `value`

    @property
    def value(self) -> int:
        return self.cell[0]

    def renew(self) -> None:
        """Begin another epoch. A counter could miss one of two changes at the same moment."""
        self.cell[0] = int.from_bytes(secrets.token_bytes(_BYTES))
