"""Letting go of the frames that an error has passed through: they hold bodies."""

from __future__ import annotations


def forget_frames(error: BaseException) -> None:
    """Drop the tracebacks and contexts of an error and of its causes.

    Frames and errors refer to each other, so they would stay in memory until the next garbage
    collection.
    """
    left: list[object] = [error]
    while left:
        known = left.pop()
        if isinstance(known, BaseException):
            left += [known.__cause__, known.__context__, getattr(known, "cause", None)]
            known.__traceback__ = known.__cause__ = known.__context__ = None
