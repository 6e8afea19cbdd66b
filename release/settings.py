"""Writes what is written of every setting: docs/configuration.md and configs/proxy.yml.

    python -m release.settings

The texts are those beside the fields in proxy/config/values.py. What stands before the first
setting in either file is kept.
"""

from __future__ import annotations

import inspect
import json
import textwrap
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import yaml

from proxy.config import ALIASES
from proxy.config.keys import Key
from proxy.config.values import KEYS, SECTIONS

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = ROOT / "docs" / "configuration.md"
EXAMPLE: Final = ROOT / "configs" / "proxy.yml"
MARK: Final = "<!-- From here on `make settings` writes this page. -->\n"
SHOWN: Final = {"upstream.url": "http://localhost:9200"}  # in the example, instead of no value
WIDTH: Final = 100
MIB: Final = 1024 * 1024


def page(present: str) -> str:
    """docs/configuration.md with the tables as they should be."""
    introduction, mark, _ = present.partition(MARK)
    parts = [introduction + (mark or MARK)]
    for section, keys in _sections():
        parts += ["", f"## {section or 'General'}", ""]
        if section:
            parts += [_prose(section), ""]
        parts += ["| key | default | meaning |", "|---|---|---|"]
        parts += [f"| `{key.name}` | {_default(key)} | {_meaning(key)} |" for key in keys]
    return "\n".join(parts) + "\n"


def example(present: str) -> str:
    """configs/proxy.yml as it should be."""
    header = present.partition("\n\n")[0]
    return "\n".join([header, *_example_lines()]) + "\n"


def _example_lines() -> Iterator[str]:
    for section, keys in _sections():
        if section:
            yield ""
            yield from _comment(" ".join(_prose(section).split()), "")
            yield f"{section}:"
        indent = "  " if section else ""
        for position, key in enumerate(keys):
            if position or not section:
                yield ""
            absent = f" Without a value: {key.absent}." if key.absent else ""
            unit = f" ({key.unit})" if key.unit else ""
            yield from _comment(f"{key.text}{unit}. {_more(key)}".strip() + absent, indent)
            value = _yaml(SHOWN.get(key.name, key.default))
            yield f"{indent}{key.name.rpartition('.')[2]}: {value}".rstrip()


def _sections() -> Iterator[tuple[str, Iterable[Key]]]:
    """The keys by section, those outside of one first."""
    yield from groupby(KEYS.values(), lambda key: key.name.rpartition(".")[0])


def _prose(section: str) -> str:
    return inspect.getdoc(SECTIONS[section]) or ""


def _comment(text: str, indent: str) -> list[str]:
    start = f"{indent}# "
    return textwrap.wrap(
        text, WIDTH, initial_indent=start, subsequent_indent=start, break_on_hyphens=False
    )


def _yaml(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case ():
            return "[]"
        case str() if yaml.safe_load(value) != value:
            return json.dumps(value)
    return str(value)


def _default(key: Key) -> str:
    if key.default is None:
        return key.absent or "none"
    unit = f" {key.unit}" if key.unit else ""
    if key.unit == "bytes" and key.default % MIB == 0:
        unit += f" ({key.default // MIB} MiB)"
    return f"`{_yaml(key.default)}`{unit}"


def _meaning(key: Key) -> str:
    return f"{key.text}. {_more(key)}".strip().replace("|", "\\|")


def _more(key: Key) -> str:
    """Its further sentences, the last of which tells by which other names it is known."""
    names = [name for name, known in ALIASES.items() if known == key.name]
    also = f"Also {', '.join(names)}." if names else ""
    return f"{key.more} {also}".strip()


def main() -> None:
    """Write both files anew."""
    for path, make in ((PAGE, page), (EXAMPLE, example)):
        path.write_text(make(path.read_text("utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
