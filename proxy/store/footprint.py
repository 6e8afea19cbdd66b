"""The memory that an endpoint takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from sys import getsizeof

from proxy.inference.endpoints import InferenceEndpoint


def bytes_of_texts(endpoint: InferenceEndpoint) -> int:
    """Bytes of all texts of an endpoint; one wide character makes each of a text take four."""
    return sum(map(getsizeof, _texts(asdict(endpoint))))


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for inner in value.values():
                yield from _texts(inner)
        case list() | tuple():
            for inner in value:
                yield from _texts(inner)
