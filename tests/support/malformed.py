"""Configurations that are malformed, with a token somewhere in them as TOKEN."""

from __future__ import annotations

from typing import Final

MALFORMED_YAML: Final = [
    "api_key: *TOKEN",
    "api_key: &TOKEN x\nurl: &TOKEN y",
    "api_key: !TOKEN!x y",
    "%TAG !TOKEN! x\n%TAG !TOKEN! x\n--- a",
    "api_key: 'TOKEN",
    'api_key: "TOKEN\\q"',
    "api_key: {TOKEN",
    "api_key: @TOKEN",
    "api_key: TOKEN: x",
    "TOKEN: 1\nTOKEN: 2",
]
