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


def remembered(
    function: Callable[P, T], *, most: int = _MOST, longest: int = _LONGEST
) -> Callable[P, T]:
    """The same function, whose last argument is a text; it must depend on its arguments alone.

    Results for `most` texts of at most `longest` characters are kept. Callers get the same result,
    so nobody may change it. What is raised is not remembered.
    """
    known = cast(Callable[P, T], lru_cache(most)(function))

    def recall(*args: P.args, **more: P.kwargs) -> T:
        is_short = len(cast(str, args[-1])) <= longest
        return known(*args, **more) if is_short else function(*args, **more)

    return recall
