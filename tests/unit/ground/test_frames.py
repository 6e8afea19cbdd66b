from __future__ import annotations

import gc
import weakref

from proxy.ground.frames import forget_frames


class Body:
    """Something large."""


def failed() -> tuple[Exception, weakref.ref[Body]]:
    """An error in whose frames a body is, by way of its cause and its context."""
    body = Body()
    seen = weakref.ref(body)
    try:
        try:
            try:
                raise KeyError(id(body))
            except KeyError:
                raise ValueError from None
        except ValueError as error:
            raise RuntimeError from error
    except RuntimeError as error:
        return error, seen


def test_what_the_frames_held_is_free_at_once():
    gc.disable()
    try:
        error, body = failed()
        assert body() is not None
        forget_frames(error)
        assert body() is None
    finally:
        gc.enable()
    assert (error.__cause__, error.__context__, error.__traceback__) == (None, None, None)
