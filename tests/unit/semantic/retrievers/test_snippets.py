from __future__ import annotations

from proxy.inference.chunking import ChunkingSettings
from proxy.semantic.retrievers.snippets import best_snippets
from proxy.semantic.retrievers.tree import Snippets

WORDS = ChunkingSettings(strategy="word", max_chunk_size=3, sentence_overlap=None, overlap=0)
TEXT = "The sea rises. The moon pulls. A sea, sea."


def cut(query: str, size: int, text: str = TEXT) -> list[str]:
    found = best_snippets(text, query, Snippets(size=size, chunking=WORDS))
    return [one.strip(" .") for one in found]


def test_the_best_chunk_by_its_words():
    assert cut("moon", 1) == ["The moon pulls"]
    assert cut("SEA", 3) == ["A sea, sea", "The sea rises"]


def test_only_chunks_that_have_a_word_if_any_has():
    assert cut("moon", 5) == ["The moon pulls"]


def test_the_first_chunks_where_no_word_is_found():
    assert cut("granite", 2) == ["The sea rises", "The moon pulls"]


def test_rare_words_count_for_more():
    assert cut("the pulls", 2) == ["The moon pulls", "The sea rises"]


def test_characters_that_are_words():
    text = "\u6d77 \u6c34 \u4e0a \u5347 \u6708\u7403"
    assert cut("\u7403", 1, text)[0].endswith("\u7403")
