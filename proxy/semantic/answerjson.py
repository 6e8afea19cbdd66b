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
    """The document of an answer. Raises: UpstreamBroken for no JSON."""
    return document_in(answer.body, answer.status)


def check_beginning(answer: UpstreamAnswer) -> None:
    """Raises: UpstreamBroken for an answer whose beginning tells that it is no JSON."""
    if answer.body.lstrip()[:1] not in (b"{", b"["):
        raise _no_json(answer.status)


def document_in(body: bytes, status: int) -> Any:
    """As `document_of`, for an answer of that status with another body."""
    try:
        return load_json(body)
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


def items_of(answer: UpstreamAnswer, name: str, count: int | None = None) -> list[Any]:
    """The list that an answer has under a name.

    Raises: UpstreamBroken where there is none, or not one of `count` items, unless that is None.
    """
    return listed_in(object_of(answer), name, count, answer.status)


def listed_in(
    document: Mapping[str, Any], name: str, count: int | None = None, status: int = 200
) -> list[Any]:
    """As `items_of`, for the document of an answer of that status."""
    found = document.get(name)
    if not isinstance(found, list):
        raise UpstreamBroken(f"upstream node answered {status} without [{name}]")
    if count is not None and len(found) != count:
        problem = f"[{len(found)}] [{name}] instead of [{count}]"
        raise UpstreamBroken(f"upstream node answered {status} with {problem}")
    return found


async def read_items(answer: UpstreamAnswer, name: str, count: int | None = None) -> list[Any]:
    """As `items_of`, for what may be large."""
    return await offload(len(answer.body), AT_ONCE, lambda: items_of(answer, name, count))


def entries_of(answer: UpstreamAnswer, count: int | None = None) -> list[dict[str, dict[str, Any]]]:
    """What a bulk's answer says of each item, below its action. Raises: as `items_of`."""
    return clear_entries(items_of(answer, "items", count))


def clear_entries(items: list[Any]) -> list[dict[str, dict[str, Any]]]:
    """The items of a bulk's answer. Raises: UpstreamBroken for what is said of none."""
    for item in items:
        said = list(item.values()) if isinstance(item, dict) else []
        if len(said) != 1 or not _is_said_of_item(said[0]):
            raise UpstreamBroken("upstream node answered a bulk with unclear [items]")
        said[0]["status"] = int(said[0]["status"])  # a gateway may have written it as 200.0
    return items


def _is_said_of_item(said: Any) -> bool:
    """Whether it is what Elasticsearch says of an item, as far as anything here relies on it."""
    if not isinstance(said, dict) or not isinstance(said.get("_index"), str):
        return False
    kind, of_document = (dict, "error") if "error" in said else (str, "_id")
    status = said.get("status")
    return (
        isinstance(said.get(of_document), kind)
        and isinstance(status, int | float)
        and 100 <= status <= 599
    )
