"""Whether a test may run beside those of other processes, or has to be alone."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path


class Turns:
    """Tests of several processes, side by side or one alone; the processes share a `folder`.

    A lock on the file `floor` is held during a test: a shared one, or an exclusive one to be alone.
    Both go through `door` first, where one that waits to be alone keeps others from coming in.
    """

    def __init__(self, folder: Path) -> None:
        self._door = folder / "door"
        self._floor = folder / "floor"

    @contextmanager
    def beside_others(self) -> Iterator[None]:
        with ExitStack() as stack:
            with _locked(self._door, fcntl.LOCK_EX):
                stack.enter_context(_locked(self._floor, fcntl.LOCK_SH))
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        with _locked(self._door, fcntl.LOCK_EX), _locked(self._floor, fcntl.LOCK_EX):
            yield


@contextmanager
def _locked(file: Path, kind: int) -> Iterator[None]:
    with file.open("a") as opened:  # whose end unlocks it
        fcntl.flock(opened, kind)
        yield
