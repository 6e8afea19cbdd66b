"""Answers of the upstream as JSON.

Whoever answers need not be Elasticsearch: a gateway on the way may send a page of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from proxy.ground.errors import UpstreamBroken
from proxy.limits.threads import offload
from proxy.semantic.documents import sources_apart
from proxy.semantic.ports import UpstreamAnswer
from proxy.xcontent.document import Bounds
from proxy.xcontent.formats import parse
from proxy.xcontent.loading import load_json
from proxy.xcontent.writing import dump_json

AT_ONCE: Final = 65536  # bytes of JSON that are read or written on the event loop
_BOUNDS: Final = Bounds(nesting=1000, values=1_000_000)  # of an answer in another format


def document_of(answer: UpstreamAnswer) -> Any:
    """The document of an answer; None for an empty one. Raises: UpstreamBroken for no JSON."""
    return document_in(answer.body, answer.status)


def check_beginning(answer: UpstreamAnswer) -> None:
    """Raises: UpstreamBroken for an answer whose beginning tells that it is no JSON."""
    if answer.body and answer.body.lstrip()[:1] not in (b"{", b"["):
        raise _no_json(answer.status)


def document_in(body: bytes, status: int) -> Any:
    """As `document_of`, for an answer of that status with another body."""
    try:
        return load_json(body or b"null")
    except ValueError:
        raise _no_json(status) from None


def _no_json(status: int) -> UpstreamBroken:
    return UpstreamBroken(f"upstream node answered {status} with a body that is no JSON")


def json_of(answer: UpstreamAnswer, format: str) -> UpstreamAnswer:
    """An answer in another format, as JSON. Raises: UpstreamBroken where it cannot be read."""
    found = parse(answer.body, format, _BOUNDS, lone_surrogates=True)
    if found.error is not None or found.root is None:
        raise UpstreamBroken(f"upstream node answered {answer.status} with a body that is unclear")
    return _Json(answer.status, answer.headers, dump_json(found.root.plain()))


@dataclass(frozen=True, slots=True)
class _Json:
    """An answer as JSON."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def object_of(answer: UpstreamAnswer) -> dict[str, Any]:
    """The object that an answer is. Raises: UpstreamBroken for anything else."""
    return _object(document_of(answer), answer.status)


def with_sources(body: bytes, status: int = 200) -> tuple[dict[str, Any], list[bytes]]:
    """As `object_of`, where a number stands for each `_source`, and the sources as they came."""
    try:
        rest, sources = sources_apart(body)
    except ValueError:
        rest, sources = body, []  # which is no JSON
    return _object(document_in(rest, status), status), sources


async def read_object(answer: UpstreamAnswer) -> dict[str, Any]:
    """As `object_of`, for what may be large."""
    return await offload(len(answer.body), AT_ONCE, lambda: object_of(answer))


def _object(document: Any, status: int) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise UpstreamBroken(f"upstream node answered {status} with a body that is no object")
    return document


def items_of(answer: UpstreamAnswer, name: str) -> list[Any]:
    """The list that an answer has under a name. Raises: UpstreamBroken where there is none."""
    found = object_of(answer).get(name)
    if not isinstance(found, list):
        raise UpstreamBroken(f"upstream node answered {answer.status} without [{name}]")
    return found


async def read_items(answer: UpstreamAnswer, name: str) -> list[Any]:
    """As `items_of`, for what may be large."""
    return await offload(len(answer.body), AT_ONCE, lambda: items_of(answer, name))
