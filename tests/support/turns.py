"""Lets a test run alone although several processes run tests."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path


class Turns:
    """Whose turn it is; all processes use the same `folder`.

    During a test the file `floor` is locked: shared, or exclusively to be alone. The lock on `door`
    comes first and is kept while waiting, so that a test that waits to be alone lets no other pass.
    """

    def __init__(self, folder: Path) -> None:
        self._door = folder / "door"
        self._floor = folder / "floor"
        self._kept = ExitStack()  # the locks of a turn that goes on
        self._goes_on = False

    @contextmanager
    def beside_others(self) -> Iterator[None]:
        with ExitStack() as stack:
            with _locked(self._door, fcntl.LOCK_EX):
                stack.enter_context(_locked(self._floor, fcntl.LOCK_SH))
            yield

    @contextmanager
    def alone(self, *, goes_on: bool = False) -> Iterator[None]:
        """With `goes_on` the turn is kept: the next test of this process is alone, too."""
        if not self._goes_on:
            self._kept.enter_context(_locked(self._door, fcntl.LOCK_EX))
            self._kept.enter_context(_locked(self._floor, fcntl.LOCK_EX))
        self._goes_on = goes_on
        try:
            yield
        finally:
            if not goes_on:
                self._kept.close()


@contextmanager
def _locked(file: Path, kind: int) -> Iterator[None]:
    with file.open("a") as opened:  # closing it unlocks it
        fcntl.flock(opened, kind)
        yield
