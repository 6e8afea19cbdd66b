"""The head of a request as Elasticsearch's REST layer reads it: target, parameters, media types.

Source: RestRequest, RestController.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_plus

from multidict import CIMultiDictProxy

from proxy.ground.errors import BadParameter, IllegalArgument, PlainError, ProxyError
from proxy.ground.frames import forget_frames
from proxy.ground.remembering import remembered
from proxy.rest.mediatypes import MediaType, media_type
from proxy.rest.parameters import read_boolean
from proxy.xcontent.filterpath import Filter, parse_filter

_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


# Not frozen, as that costs most of a microsecond for each request.
@dataclass(slots=True, kw_only=True)
class RestRequest:
    """A request without its body.

    `problem` is the first thing that is wrong with it. It is kept and not raised, because callers
    are authenticated before they are told.
    """

    method: str
    target: str  # as it was sent; messages quote it undecoded
    path: str  # that of the target, undecoded
    headers: CIMultiDictProxy[str]
    parameters: Mapping[str, str]  # of the query, decoded
    accept: MediaType | None
    content_type: MediaType | None
    filter: Filter | None  # of the answer: `filter_path`
    problem: ProxyError | None

    def segments(self) -> list[str]:
        """As of the path."""
        return segments_of(self.path)


def segments_of(path: str) -> list[str]:
    """The parts of a path, undecoded: routes are matched before anything is decoded."""
    parts = path.split("/")[1:]
    while parts and parts[-1] == "":
        parts.pop()
    return parts


@dataclass(frozen=True, slots=True)
class Target:
    """What the target of a request says by itself; `problem` as of RestRequest."""

    path: str
    parameters: Mapping[str, str]
    problem: ProxyError | None


def parse_request(method: str, target: str, headers: CIMultiDictProxy[str]) -> RestRequest:
    """The request of this head, whatever is wrong with it."""
    accept = content_type = None
    problem = _FirstProblem()
    with problem:
        _check_opaque_id(headers)
    with problem:
        accept = media_type(headers, "Accept")
        content_type = media_type(headers, "Content-Type")
    said = read_target(target)
    problem.error = problem.error or said.problem
    filter = None
    if filter_path := said.parameters.get("filter_path"):
        with problem:
            filter = parse_filter(filter_path)
    return RestRequest(
        method=method,
        target=target,
        path=said.path,
        headers=headers,
        parameters=said.parameters,
        accept=accept,
        content_type=content_type,
        filter=filter,
        problem=problem.error,
    )


def read_target(target: str) -> Target:
    """What a target says, whatever is wrong with it."""
    try:
        return _flawless(target)
    except ProxyError:
        return _read_target(target)  # once more, as requests must not share an error


@remembered
def _flawless(target: str) -> Target:
    """Raises: ProxyError, if anything is wrong with it."""
    said = _read_target(target)
    if said.problem is not None:
        raise said.problem
    return said


def _read_target(target: str) -> Target:
    path, _, query = target.partition("?")
    parameters: dict[str, str] = {}
    problem = _FirstProblem()
    with problem:
        _check_path(path)
        _read_query(query, parameters)
    with problem:
        _check_error_trace(parameters)
    return Target(path, parameters, problem.error)


class _FirstProblem:
    """Keeps the first error that is raised within it, and swallows those that follow."""

    def __init__(self) -> None:
        self.error: ProxyError | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if not isinstance(error, ProxyError):
            return False
        forget_frames(error)
        self.error = self.error or error
        return True


def _check_opaque_id(headers: CIMultiDictProxy[str]) -> None:
    if "X-Opaque-Id" in headers and len(headers.getall("X-Opaque-Id")) > 1:
        raise IllegalArgument("multiple values for single-valued header [X-Opaque-Id].")


def _check_path(path: str) -> None:
    if (problem := _escape_problem(path)) is not None:
        raise IllegalArgument(problem)


def _read_query(query: str, parameters: dict[str, str]) -> None:
    """Add its names and values, decoded, up to one that cannot be. Raises: BadParameter."""
    pairs = query.split("&")
    if "%" not in query and "+" not in query:
        parted = [pair.partition("=") for pair in pairs]
        parameters.update((name, value) for name, _, value in parted if name)
        return
    for pair in pairs:
        if (problem := _escape_problem(pair)) is not None:
            raise BadParameter(
                f"java.lang.IllegalArgumentException: {problem}", cause=IllegalArgument(problem)
            )
        name, _, value = pair.partition("=")
        if name:
            parameters[unquote_plus(name)] = unquote_plus(value)


def _escape_problem(text: str) -> str | None:
    if (bad := _BAD_ESCAPE.search(text)) is None:
        return None
    escape = text[bad.start() : bad.start() + 3]
    return f"invalid escape sequence `{escape}' at index {bad.start()} of: {text}"


def _check_error_trace(parameters: Mapping[str, str]) -> None:
    try:
        read_boolean(parameters, "error_trace")
    except IllegalArgument as error:
        raise PlainError(400, error.reason) from None
