"""Reads the configuration: a YAML file, then the environment, then command-line flags.

By hand, and not by a library: it needs one message that names the key for every mistake, whatever
the source, and one that quotes no value, which may be a secret. Those libraries that build
dataclasses would need a translation of their errors longer than this.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from proxy.config.checking import ConfigError, check
from proxy.config.credentials import check_one_kind, halves, kind_of, kinds_of
from proxy.config.environment import not_understood, own_values, usual_values
from proxy.config.keys import Key
from proxy.config.mistakes import section_expected, unknown, value_expected
from proxy.config.prefixes import RULE, Prefixes
from proxy.config.values import KEYS, SECTIONS, Config, items

DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A configuration, and how it came about."""

    config: Config
    file: Path | None
    origins: Mapping[str, str]  # where the value of each key comes from
    remarks: Sequence[str]  # what was said and has no effect


@dataclass(frozen=True, slots=True)
class _Given:
    value: Any
    name: str  # what it stands under, in errors
    origin: str


_Source = dict[str, _Given]  # by key


def load_config(
    path: Path | None, environ: Mapping[str, str], flags: Mapping[str, Any] | None = None
) -> Config:
    """The configuration alone; see `load_settings`."""
    return load_settings(path, environ, flags).config


def load_settings(
    path: Path | None, environ: Mapping[str, str], flags: Mapping[str, Any] | None = None
) -> Settings:
    """The values of the file, of the environment and of `flags` (by key), each over the last.

    Raises: ConfigError naming the key and the rule it breaks.
    """
    file = {} if path is None else _read_file(path)
    own = _variables(own_values(environ))
    given = {
        key: _Given(value, key, "flag") for key, value in (flags or {}).items() if value is not None
    }
    usual = _variables(usual_values(environ, own.keys() | given.keys()))
    values = _merged(file, usual, own, given)
    for key in values:
        if key not in KEYS:
            raise unknown(key)
    config = _build({key: _convert(KEYS[key], one.value) for key, one in values.items()})
    check(config)
    return Settings(
        config=config,
        file=path,
        origins={key: values[key].origin if key in values else DEFAULT for key in KEYS},
        remarks=[*not_understood(environ), *halves(config.upstream)],
    )


def _merged(*sources: _Source) -> _Source:
    """All values, each source over the last; credentials give way to those of another kind."""
    merged: _Source = {}
    for source in sources:
        check_one_kind({key: given.name for key, given in source.items()})
        kinds = kinds_of(source)
        if kinds:
            merged = {key: given for key, given in merged.items() if kind_of(key) in {None, *kinds}}
        merged |= source
    return merged


def _read_file(path: Path) -> _Source:
    from proxy.config.yamlfile import read_yaml

    return {key: _Given(value, key, "file") for key, value in _flatten(read_yaml(path)).items()}


def _flatten(document: dict[Any, Any], prefix: str = "") -> dict[str, Any]:
    """The values by their dotted names; a name without a value is left out."""
    flat: dict[str, Any] = {}
    for part, value in document.items():
        name = f"{prefix}{part}"
        if isinstance(value, dict) and not _is_structured(name):
            if name in KEYS:
                raise value_expected(name)
            flat |= _flatten(value, f"{name}.")
        elif value is not None:
            if name in SECTIONS:
                raise section_expected(name)
            flat[name] = value
    return flat


def _variables(values: Mapping[str, tuple[str, str]]) -> _Source:
    return {key: _Given(text, name, f"environment {name}") for key, (name, text) in values.items()}


def _convert(key: Key, value: Any) -> Any:
    """`value` in the key's type; a text from the environment is read as YAML would."""
    kind = key.kind
    if kind is Prefixes:
        try:
            return Prefixes.parse(value)
        except ValueError:
            raise ConfigError(f"[{key.name}] {RULE}") from None
    if key.secret and not isinstance(value, str):
        # YAML reads 0123 as 83: such a value is not what was written.
        raise ConfigError(f"[{key.name}] must be a text: put it in quotes")
    try:
        if kind == tuple[str, ...]:
            return _texts(value)
        if kind is bool:
            return {"true": True, "false": False}[str(value).lower()]
        if isinstance(value, list | bool) or (kind is int and isinstance(value, float)):
            raise ValueError
        return kind(value)
    except (KeyError, TypeError, ValueError):
        wanted = "a list of texts" if kind == tuple[str, ...] else f"of type {kind.__name__}"
        raise ConfigError(f"[{key.name}] must be {wanted}") from None


def _is_structured(name: str) -> bool:
    return name in KEYS and KEYS[name].kind is Prefixes


def _texts(value: Any) -> tuple[str, ...]:
    texts = items(value) if isinstance(value, str) else value
    if any(text is None or isinstance(text, dict | list) for text in texts):
        raise ValueError
    return tuple(str(text).strip() for text in texts)


def _build(values: Mapping[str, Any]) -> Config:
    by_section: dict[str, dict[str, Any]] = defaultdict(dict)
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        by_section[section][name] = value
    own = by_section.pop("", {})
    return Config(**own, **{name: SECTIONS[name](**found) for name, found in by_section.items()})
