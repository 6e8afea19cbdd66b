"""Chunking settings: how long texts are to be cut. The semantic layer does so.

Source: ChunkingSettingsBuilder and the settings class of each strategy. Before 9.2 these refused a
`max_chunk_size` above 300.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from proxy.ground.errors import IllegalArgument
from proxy.ground.masking import shown_name
from proxy.inference.fields import Fields, Problems
from proxy.xcontent.javatext import java_double, java_text
from proxy.xcontent.values import Json

STRATEGIES: Final = ("sentence", "word", "recursive", "none")
SEPARATORS: Final = {
    "plaintext": (r"(?<!\n)\n\n(?!\n)", r"(?<!\n)\n(?!\n)"),
    "markdown": (
        *(f"\n{'#' * level} " for level in range(1, 7)),
        "\n" + r"^(?!\s*$).*\n-{1,}\n",
        "\n" + r"^(?!\s*$).*\n={1,}\n",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkingSettings:
    """Sizes and overlaps in words (`sentence_overlap` in sentences), separators as patterns."""

    strategy: str = "sentence"
    max_chunk_size: int | None = 250
    sentence_overlap: int | None = 1
    overlap: int | None = None
    separators: tuple[str, ...] | None = None


def parse_chunking(values: Mapping[str, Any] | None) -> ChunkingSettings:
    """Read `chunking_settings`; None or an empty map means the default, by sentences.

    Raises: IllegalArgument for the strategy; ValidationFailed for the other settings.
    """
    if not values:
        return ChunkingSettings()
    problems = Problems()
    fields = Fields(values, "chunking_settings", problems)
    strategy = fields.take("strategy")
    if strategy is None:
        raise IllegalArgument("Can't generate Chunker without ChunkingStrategy provided")
    if strategy not in STRATEGIES:
        raise IllegalArgument(f"Invalid chunkingStrategy {java_text(strategy, 'strategy')}")
    if strategy == "none":
        return ChunkingSettings(strategy="none", max_chunk_size=None, sentence_overlap=None)
    reader = {"sentence": _sentence, "word": _word, "recursive": _recursive}[strategy]
    settings = reader(fields, problems)
    problems.raise_if_any()
    return settings


def render_chunking(settings: ChunkingSettings) -> Json:
    """The settings as callers see them, keys in Elasticsearch's order."""
    shown = {
        "strategy": settings.strategy,
        "max_chunk_size": settings.max_chunk_size,
        "sentence_overlap": settings.sentence_overlap,
        "overlap": settings.overlap,
        "separators": settings.separators,
    }
    return {key: value for key, value in shown.items() if value is not None}


def _sentence(fields: Fields, problems: Problems) -> ChunkingSettings:
    _refuse_others(fields, "Sentence based chunking settings", ("sentence_overlap",))
    size = _take_size(fields, 20)
    overlap = fields.take_typed("sentence_overlap", int, "Integer")
    if overlap not in (None, 0, 1):
        problems.add(f"sentence_overlap[{overlap}] must be either 0 or 1")
    overlap = 1 if overlap is None else overlap
    return ChunkingSettings(strategy="sentence", max_chunk_size=size, sentence_overlap=overlap)


def _word(fields: Fields, problems: Problems) -> ChunkingSettings:
    _refuse_others(fields, "Word based chunking settings", ("overlap",))
    size = _take_size(fields, 10)
    overlap = None
    if size is not None:
        overlap = fields.take_positive_int("overlap", required=True)
        if overlap is not None and overlap > size // 2:
            problems.add(_out_of_range("overlap", overlap, "less", size // 2))
    return ChunkingSettings(
        strategy="word", max_chunk_size=size, sentence_overlap=None, overlap=overlap
    )


def _recursive(fields: Fields, problems: Problems) -> ChunkingSettings:
    _refuse_others(fields, "Recursive chunking settings", ("separator_group", "separators"))
    size = _take_size(fields, 10)
    group = fields.take_enum("separator_group", tuple(SEPARATORS))
    given = fields.take_list("separators")
    if group is not None and given is not None:
        problems.add("Recursive chunking settings can not have both separators and separator_set")
    if given == []:
        problems.add("Recursive chunking settings can not have an empty list of separators")
    for separator in given or ():
        if not isinstance(separator, str):
            problems.add(
                "field [separators] is not of the expected type. The value "
                f"[{java_text(separator)}] cannot be converted to a [String]"
            )
    separators = tuple(map(str, given)) if given else SEPARATORS[group or "plaintext"]
    return ChunkingSettings(
        strategy="recursive", max_chunk_size=size, sentence_overlap=None, separators=separators
    )


def _refuse_others(fields: Fields, what: str, known: tuple[str, ...]) -> None:
    others = [key for key in fields.left_over if key not in ("max_chunk_size", *known)]
    if others:
        names = ", ".join(map(shown_name, others))
        fields.problems.add(f"{what} can not have the following settings: [{names}]")


def _take_size(fields: Fields, least: int) -> int | None:
    """`max_chunk_size`, which is required; None when there was a problem with it."""
    size = fields.take_positive_int("max_chunk_size", required=True)
    if size is None or size >= least:
        return size
    fields.problems.add(_out_of_range("max_chunk_size", size, "greater", least))
    return None


def _out_of_range(name: str, value: int, side: str, limit: int) -> str:
    return (
        f"[chunking_settings] Invalid value [{java_double(float(value))}]. [{name}] must be a "
        f"{side} than or equal to [{java_double(float(limit))}]"
    )
