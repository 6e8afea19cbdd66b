"""What is said of names that are no keys, and of keys that are not where they belong."""

from __future__ import annotations

import difflib
from typing import Final

from proxy.config.checking import ConfigError
from proxy.config.values import KEYS, SECTIONS
from proxy.ground.masking import shown_name

_SIMILAR: Final = 0.75  # how alike a known name must be to be suggested; 1 is the same
_MOST: Final = 4  # suggestions
_EXAMPLES: Final = {"log": "level"}  # for each other section its first key


def unknown(name: str) -> ConfigError:
    """The error for a key that is none, with the nearest that are."""
    shown = ".".join(map(shown_name, name.split(".")))  # a part may be a secret, misplaced
    near = _nearest(name.lower().replace("-", "_"))
    if not near:
        return ConfigError(f"unknown key [{shown}]: `check --config-only` shows all keys")
    listed = " or ".join(f"[{key}]" for key in near)
    return ConfigError(f"unknown key [{shown}]; did you mean {listed}?")


def section_expected(section: str) -> ConfigError:
    """The error for a value where a section belongs."""
    first = next(key.name for key in KEYS.values() if key.name.startswith(f"{section}."))
    example = _EXAMPLES.get(section) or first.partition(".")[2]
    return ConfigError(
        f"[{section}] is a section, with keys of its own: write `{section}: {{{example}: …}}`"
    )


def value_expected(key: str) -> ConfigError:
    """The error for a section where the value of a key belongs."""
    return ConfigError(f"[{key}] has a value, not keys of its own: write `{_written(key)}`")


def _written(key: str) -> str:
    section, _, name = key.rpartition(".")
    return f"{section}: {{{name}: …}}" if section else f"{name}: …"


def _nearest(name: str) -> list[str]:
    """Keys, and sections, that are spelt like it; else those that are so without their section."""
    near = difflib.get_close_matches(name, [*KEYS, *SECTIONS], n=1, cutoff=_SIMILAR)
    if near:
        return near
    last = name.rpartition(".")[2]
    keys_by_last: dict[str, list[str]] = {}
    for key in KEYS:
        keys_by_last.setdefault(key.rpartition(".")[2], []).append(key)
    for found in difflib.get_close_matches(last, keys_by_last, n=1, cutoff=_SIMILAR):
        return keys_by_last[found][:_MOST]
    return []
