"""The query parameters that a route takes, read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from proxy.ground.remembering import remembered
from proxy.rest.parameters import read_boolean, read_time, refuse_unknown
from proxy.rest.request import read_target


@dataclass(frozen=True, slots=True)
class Arguments:
    """Query parameters that are time values, in seconds, and those that are booleans, by name."""

    times: Mapping[str, float | None]
    flags: Mapping[str, bool]


@remembered
def read_arguments(
    times: tuple[str, ...], flags: tuple[str, ...], others: tuple[str, ...], target: str
) -> Arguments:
    """Those of these names in the query of `target`; `others` are read elsewhere.

    Raises: IllegalArgument for a bad value, and then for parameters of other names.
    """
    said = read_target(target)
    arguments = Arguments(
        {name: read_time(said.parameters, name) for name in times},
        {name: read_boolean(said.parameters, name) for name in (*flags, "pretty", "human")},
    )
    refuse_unknown(said.parameters, {*others, *times, *flags}, said.path)
    return arguments
