"""Which raw targets the application answers; everything else goes upstream."""

from __future__ import annotations

from typing import Final

_ENDS_SEGMENT: Final = (b"", b"/", b"?")


def is_inference(target: bytes) -> bool:
    """Whether Elasticsearch with the inference plugin would route this raw target to `_inference`.

    It compares literal segments: no decoding, no dot segments, no merging of slashes. What follows
    the first segment can be anything, also nothing: its routes take any value there.
    """
    return target.startswith(b"/_inference") and target[11:12] in _ENDS_SEGMENT
