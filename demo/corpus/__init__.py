"""Short passages on varied subjects, and questions that share hardly a word with their answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One document: a paragraph that can be understood by itself."""

    id: str
    title: str
    topic: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question, and the ids of the passages that answer it."""

    question: str
    answers: frozenset[str]


def passages() -> list[Passage]:
    """All passages, in the order of the file."""
    return [Passage(**row) for row in _rows("corpus.jsonl")]


def questions() -> list[Question]:
    """All questions, in the order of the file."""
    return [
        Question(question=row["question"], answers=frozenset(row["answers"]))
        for row in _rows("questions.jsonl")
    ]


def _rows(name: str) -> list[dict[str, Any]]:
    with (FOLDER / name).open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]
