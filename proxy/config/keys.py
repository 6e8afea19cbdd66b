"""What a key of the configuration is, and what it says about itself.

Each key is a field of a dataclass in `proxy.config.values`; its text, its unit and the rest of what
documentation and checks need stand beside it, as the field's metadata.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Final

PREFIX: Final = "HFPROXY_"  # of every environment variable


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key: `name` is `section.name`, or a lone name outside the sections."""

    name: str
    kind: Any  # int, float, bool, str, Path, tuple[str, ...] or Prefixes
    default: Any  # None: there is no value
    text: str  # one line: what it is
    more: str  # further sentences for the example file, or nothing
    unit: str
    absent: str  # what holds without a value
    secret: bool  # masked wherever it is shown
    may_hold_password: bool  # in a URL; masked there
    may_be_zero: bool  # every other number is more than 0

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return PREFIX + self.name.replace(".", "_").upper()


def setting(
    default: Any,
    text: str,
    more: str = "",
    *,
    unit: str = "",
    absent: str = "",
    secret: bool = False,
    may_hold_password: bool = False,
    may_be_zero: bool = False,
) -> Any:
    """A field of a configuration dataclass; the arguments are those of Key."""
    return field(
        default=default,
        repr=not (secret or may_hold_password),
        metadata={
            "text": text,
            "more": more,
            "unit": unit,
            "absent": absent,
            "secret": secret,
            "may_hold_password": may_hold_password,
            "may_be_zero": may_be_zero,
        },
    )


def keys_of(cls: type, prefix: str = "") -> Iterator[Key]:
    """The keys of a configuration dataclass and of its sections, in their order."""
    hints = typing.get_type_hints(cls)
    for entry in fields(cls):
        hint = hints[entry.name]
        if is_dataclass(hint):
            yield from keys_of(typing.cast(type, hint), f"{entry.name}.")
        else:
            yield Key(
                name=prefix + entry.name,
                kind=_not_none(hint),
                default=entry.default,
                **entry.metadata,
            )


def _not_none(hint: Any) -> Any:
    if isinstance(hint, types.UnionType):
        (hint,) = (kind for kind in typing.get_args(hint) if kind is not type(None))
    return hint
