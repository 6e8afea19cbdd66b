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
    with file.open("a") as opened:  # closing it unlocks it
        fcntl.flock(opened, kind)
        yield
