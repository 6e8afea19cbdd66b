"""Findings: one line each, with what to do where something is wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"  # serving would fail, or every request of some kind


@dataclass(frozen=True, slots=True)
class Finding:
    level: Level
    text: str

    def __str__(self) -> str:
        return f"{self.level:<7} {self.text}"

    def mitigated(self) -> Finding:
        """The same, where something else makes up for it."""
        return replace(self, level=Level.WARNING) if self.level is Level.ERROR else self


def ok(text: str) -> Finding:
    return Finding(Level.OK, text)


def warning(text: str) -> Finding:
    return Finding(Level.WARNING, text)


def error(text: str) -> Finding:
    return Finding(Level.ERROR, text)
