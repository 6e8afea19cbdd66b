"""What short texts mean, remembered: the same few come with most requests."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")
# What is made of a text can be many times as large, and all together must not take much memory.
_MOST: Final = 512  # texts
_LONGEST: Final = 256  # characters of a text
_LONGEST_LATEST: Final = 64 * 1024  # characters of the latest text, if it is longer than those


def remembered(
    function: Callable[P, T], *, most: int = _MOST, longest: int = _LONGEST
) -> Callable[P, T]:
    """The same function, whose last argument is a text; it must depend on its arguments alone.

    Results for `most` texts of at most `longest` characters are kept, and the one for the latest
    longer text, as a request's is often read several times. Callers get the same result, so nobody
    may change it. What is raised is not remembered.
    """
    known = cast(Callable[P, T], lru_cache(most)(function))
    latest = cast(Callable[P, T], lru_cache(1)(function))

    def recall(*args: P.args, **more: P.kwargs) -> T:
        length = len(cast(str, args[-1]))
        if length <= longest:
            return known(*args, **more)
        if length <= _LONGEST_LATEST:
            return latest(*args, **more)
        return function(*args, **more)

    return recall
