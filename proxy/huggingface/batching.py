"""The texts of a request, cut to what a model reads and grouped into calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

CHARACTERS_PER_TOKEN: Final = 3  # UTF-16 units; Source: Truncator
MAX_BYTES: Final = 1_900_000  # of one call's texts; text-embeddings-inference takes 2 MB by default
_FRAMING: Final = 3  # bytes of quotes and comma around each text


# Not frozen, as that costs half a microsecond for each text.
@dataclass(slots=True)
class Text:
    """One input, its index in the request, and whether it was cut."""

    text: str
    index: int
    is_truncated: bool = False

    def first(self, units: int) -> Text:
        """The first `units` UTF-16 units; a surrogate pair is not split."""
        encoded = self.text.encode("utf-16-le")
        if len(encoded) <= 2 * units:
            return self
        text = encoded[: 2 * units].decode("utf-16-le", errors="ignore")
        return replace(self, text=text, is_truncated=True)

    def shortened(self, share: float) -> Text:
        """That share of it, from its beginning, for a provider that finds it too long."""
        return self.first(int(len(self.text.encode("utf-16-le")) // 2 * share))


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts for one call; never empty but for a request without texts."""

    texts: list[Text]

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def contents(self) -> list[str]:
        return [text.text for text in self.texts]

    def split(self) -> tuple[Batch, Batch]:
        """Two batches of half as many texts, for a provider that takes fewer in a call."""
        middle = len(self.texts) // 2
        return Batch(self.texts[:middle]), Batch(self.texts[middle:])

    def shortened(self, share: float = 0.5) -> Batch:
        """As many texts of half the length, or another share of it."""
        return Batch([text.shortened(share) for text in self.texts])


def texts_of(inputs: Sequence[str], max_tokens: int | None = None) -> list[Text]:
    """The inputs of a request, cut to about `max_tokens` tokens each."""
    texts = [Text(text, index) for index, text in enumerate(inputs)]
    if max_tokens is None:
        return texts
    return [text.first(max_tokens * CHARACTERS_PER_TOKEN) for text in texts]


def length_of(text: Text) -> int:
    """Bytes of it in JSON, about."""
    is_ascii = text.text.isascii()  # then it need not be encoded to be measured
    return (len(text.text) if is_ascii else len(text.text.encode())) + _FRAMING


def fit(texts: Sequence[Text], max_count: int, max_bytes: int = MAX_BYTES) -> bool:
    """Whether they make one batch."""
    if len(texts) < 2:
        return True
    return len(texts) <= max_count and sum(map(length_of, texts)) <= max_bytes


def batches(texts: Sequence[Text], max_count: int, max_bytes: int = MAX_BYTES) -> Iterator[Batch]:
    """The texts in order, in batches of at most so many texts and bytes of JSON.

    A text that is longer by itself makes a batch of its own.
    """
    batch: list[Text] = []
    size = 0
    for text in texts:
        length = length_of(text)
        if batch and (len(batch) == max_count or size + length > max_bytes):
            yield Batch(batch)
            batch, size = [], 0
        batch.append(text)
        size += length
    yield Batch(batch)
