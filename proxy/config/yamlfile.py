"""The configuration file: YAML, whose mistakes are told without quoting it.

Imported where there is a file: the library is slow to import, and many proxies have none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from proxy.config.checking import ConfigError
from proxy.ground.masking import shown_name


def read_yaml(path: Path) -> dict[Any, Any]:
    """The file's names and values. Raises: ConfigError."""
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise ConfigError(f"cannot read [{path}]: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"[{path}] is not UTF-8") from None
    except _Twice as error:
        raise ConfigError(f"[{path}] {error}") from None
    except yaml.YAMLError as error:
        # Its own text quotes the line, which may hold a secret.
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"[{path}] is not YAML{where}") from None
    except ValueError:
        raise ConfigError(
            f"[{path}] has a value that looks like a date or number, and is none: put it in quotes"
        ) from None
    except RecursionError:
        raise ConfigError(f"[{path}] has too many levels") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"[{path}] must hold keys and values")
    return document


class _Twice(Exception):
    """A name stands twice; YAML's library would forget all that stands below the first."""


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for name, _ in node.value:
            if isinstance(name, yaml.ScalarNode) and name.tag != "tag:yaml.org,2002:merge":
                line = name.start_mark.line + 1
                if name.value in lines:
                    shown, before = shown_name(name.value), lines[name.value]
                    raise _Twice(f"has [{shown}] twice: in line {before} and line {line}")
                lines[name.value] = line
        return super().construct_mapping(node, deep)
