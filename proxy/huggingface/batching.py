"""Inputs on their way to a provider: cut to what it reads, grouped as it takes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

CHARACTERS_PER_TOKEN: Final = 3  # UTF-16 units; Source: Truncator
MAX_BYTES: Final = 1_900_000  # of one call's texts; text-embeddings-inference takes 2 MB by default
_FRAMING: Final = 3  # bytes of quotes and comma around each text


@dataclass(frozen=True, slots=True)
class Text:
    """One input, its place in the request, and whether it was cut."""

    text: str
    index: int
    is_truncated: bool = False

    def shortened(self, units: int) -> Text:
        """The first `units` UTF-16 units; a surrogate pair is not split."""
        encoded = self.text.encode("utf-16-le")
        if len(encoded) <= 2 * units:
            return self
        text = encoded[: 2 * units].decode("utf-16-le", errors="ignore")
        return replace(self, text=text, is_truncated=True)

    def halved(self) -> Text:
        """Half of it, for a provider that found it too long."""
        return self.shortened(len(self.text.encode("utf-16-le")) // 4)


def texts_of(inputs: Sequence[str], max_tokens: int | None = None) -> list[Text]:
    """The inputs of a request, cut to about `max_tokens` tokens each."""
    texts = [Text(text, index) for index, text in enumerate(inputs)]
    if max_tokens is None:
        return texts
    return [text.shortened(max_tokens * CHARACTERS_PER_TOKEN) for text in texts]


def batches(
    texts: Sequence[Text], max_count: int, max_bytes: int = MAX_BYTES
) -> Iterator[list[Text]]:
    """The texts in order, in groups within a count and a size; a lone text may exceed the size."""
    batch: list[Text] = []
    size = 0
    for text in texts:
        plain = text.text.isascii()  # a long text need not be copied to be measured
        length = (len(text.text) if plain else len(text.text.encode())) + _FRAMING
        if batch and (len(batch) == max_count or size + length > max_bytes):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += length
    yield batch
