"""How well a way of searching answers questions: recall and mean reciprocal rank."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.plot import bars

DEPTH: Final = 10  # hits of a search that count


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Averages over all questions, from 0.0 to 1.0."""

    recall_3: float  # questions with a right passage among the first three
    recall_10: float
    mrr: float  # 1 / the rank of the first right passage, 0 for none among the first ten

    def figures(self) -> dict[str, float]:
        """By what they are called."""
        return {"recall at 3": self.recall_3, "recall at 10": self.recall_10, "MRR": self.mrr}


def quality(rankings: Sequence[Sequence[str]], answers: Sequence[Collection[str]]) -> Quality:
    """Of the ids that a search found for each question, best first, by the ids that are right."""
    ranks = [rank(found, right) for found, right in zip(rankings, answers, strict=True)]
    return Quality(
        recall_3=sum(1 <= one <= 3 for one in ranks) / len(ranks),
        recall_10=sum(1 <= one <= DEPTH for one in ranks) / len(ranks),
        mrr=sum(1 / one for one in ranks if one) / len(ranks),
    )


def rank(found: Sequence[str], right: Collection[str]) -> int:
    """The rank of the first right one, from 1 on; 0 if it is not among the first ten."""
    return next((n for n, name in enumerate(found[:DEPTH], 1) if name in right), 0)


def chart(measured: Mapping[str, Quality]) -> str:
    """An SVG with a bar for each way to search, and each figure."""
    names = next(iter(measured.values())).figures()
    groups = {
        name: {way: quality.figures()[name] for way, quality in measured.items()} for name in names
    }
    by_meaning = [way for way in measured if way != "words"]
    return bars(groups, "40 questions that share hardly a word with their answers", ours=by_meaning)
