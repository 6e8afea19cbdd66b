"""Reads the configuration: a YAML file, then the environment, then command-line flags.

By hand, and not by a library: it needs one message that names the key for every mistake, whatever
the source, and one that quotes no value, which may be a secret. Those libraries that build
dataclasses would need a translation of their errors longer than this.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from proxy.config.checking import ConfigError, check
from proxy.config.keys import PREFIX, Key
from proxy.config.values import KEYS, SECTIONS, Config, items
from proxy.masking import shown_name

# Names that people already have in their environment.
ALIASES: Final = {"ELASTICSEARCH_URL": "upstream.url", "ELASTIC_API_KEY": "upstream.api_key"}
_KEYS_BY_VARIABLE: Final = {key.variable: key for key in KEYS.values()}
_SIMILAR: Final = 0.75  # how alike a known key must be to be suggested; 1 is the same


def load_config(
    path: Path | None, environ: Mapping[str, str], flags: Mapping[str, Any] | None = None
) -> Config:
    """The values of the file, of the environment and of `flags` (by key), each over the last.

    Raises: ConfigError naming the key and the rule it breaks.
    """
    values = {} if path is None else _flatten(_read_yaml(path))
    values |= _read_environment(environ)
    values |= {key: value for key, value in (flags or {}).items() if value is not None}
    for key in values:
        if key not in KEYS:
            raise _unknown(key)
    config = _build({key: _convert(KEYS[key], value) for key, value in values.items()})
    check(config)
    return config


def _read_yaml(path: Path) -> dict[Any, Any]:
    import yaml  # slow to import, and many proxies have no file

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read [{path}]: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"[{path}] is not UTF-8") from None
    except yaml.YAMLError as error:
        # Its own text quotes the line, which may hold a secret.
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"[{path}] is not YAML{where}") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"[{path}] must hold keys and values")
    return document


def _flatten(document: dict[Any, Any], prefix: str = "") -> dict[str, Any]:
    """The values by their dotted names; a name without a value is left out."""
    flat: dict[str, Any] = {}
    for name, value in document.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{name}.")
        elif value is not None:
            flat[f"{prefix}{name}"] = value
    return flat


def _read_environment(environ: Mapping[str, str]) -> dict[str, str]:
    values = {key: environ[name] for name, key in ALIASES.items() if environ.get(name)}
    for name, text in environ.items():
        if name.startswith(PREFIX):
            key = _KEYS_BY_VARIABLE.get(name.upper())
            if key is None:
                raise ConfigError(f"unknown environment variable [{name}]")
            values[key.name] = text
    return values


def _unknown(key: str) -> ConfigError:
    import difflib

    shown = ".".join(map(shown_name, key.split(".")))  # a part may be a secret, misplaced
    similar = difflib.get_close_matches(key, KEYS, n=1, cutoff=_SIMILAR)
    hint = f"; did you mean [{similar[0]}]?" if similar else ""
    return ConfigError(f"unknown key [{shown}]; known keys are {', '.join(sorted(KEYS))}{hint}")


def _convert(key: Key, value: Any) -> Any:
    """`value` in the key's type; a text from the environment is read as YAML would."""
    kind = key.kind
    try:
        if kind == tuple[str, ...]:
            texts = items(value) if isinstance(value, str) else value
            return tuple(str(text).strip() for text in texts)
        if kind is bool:
            return {"true": True, "false": False}[str(value).lower()]
        if isinstance(value, list | bool):
            raise ValueError
        return kind(value)
    except (KeyError, TypeError, ValueError):
        wanted = "a list of texts" if kind == tuple[str, ...] else f"of type {kind.__name__}"
        raise ConfigError(f"[{key.name}] must be {wanted}") from None


def _build(values: Mapping[str, Any]) -> Config:
    by_section: dict[str, dict[str, Any]] = defaultdict(dict)
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        by_section[section][name] = value
    own = by_section.pop("", {})
    return Config(**own, **{name: SECTIONS[name](**found) for name, found in by_section.items()})
