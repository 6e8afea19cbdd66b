from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.huggingface.batching import Batch, Text, batches, texts_of
from tests.support.samples import texts as any_text


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


class TestCutting:
    @pytest.mark.parametrize(
        ("text", "count", "cut"),
        [
            ("abcdef", 3, "abc"),
            ("abc", 3, "abc"),
            ("abc", 0, ""),
            ("üöä", 2, "üö"),
            ("a😀b", 2, "a"),
            ("a😀b", 3, "a😀"),
            ("😀😀", 1, ""),
        ],
    )
    def test_counts_utf_16_and_splits_no_pair(self, text, count, cut):
        short = Text(text, 7).first(count)
        assert (short.text, short.index, short.is_truncated) == (cut, 7, cut != text)

    @pytest.mark.parametrize(
        ("text", "half"), [("abcd", "ab"), ("abc", "a"), ("a", ""), ("", ""), ("a😀bc", "a")]
    )
    def test_halves_round_down(self, text, half):
        assert Text(text, 0).shortened(0.5).text == half

    def test_tokens_are_three_characters_long(self):
        first, second = texts_of(["x" * 7, "y" * 6], max_tokens=2)
        assert first == Text("x" * 6, 0, is_truncated=True)
        assert second == Text("y" * 6, 1)
        assert texts_of(["x" * 10_000])[0].text == "x" * 10_000

    @given(any_text, st.integers(0, 20))
    def test_a_cut_text_is_a_beginning_of_the_right_length(self, text, count):
        short = Text(text, 0).first(count)
        assert text.startswith(short.text)
        assert units(short.text) <= count
        if short.is_truncated:
            assert units(short.text) >= count - 1
        else:
            assert short.text == text

    def test_what_was_cut_once_stays_marked(self):
        assert Text("abcd", 0).first(2).first(5).is_truncated


class TestGrouping:
    def test_groups_hold_so_many_texts_and_no_more(self):
        groups = list(batches(texts_of([str(n) for n in range(7)]), 3, 1000))
        assert [group.contents for group in groups] == [
            ["0", "1", "2"],
            ["3", "4", "5"],
            ["6"],
        ]

    def test_groups_hold_so_many_bytes_and_no_more(self):
        groups = list(batches(texts_of(["üü", "üü", "üü"]), 10, 14))
        assert [len(group) for group in groups] == [2, 1]

    def test_a_lone_text_may_be_larger(self):
        groups = list(batches(texts_of(["x", "y" * 100, "z"]), 10, 20))
        assert [[text[0] for text in group.contents] for group in groups] == [["x"], ["y"], ["z"]]

    @given(st.lists(any_text, min_size=1, max_size=30), st.integers(1, 5), st.integers(1, 60))
    def test_nothing_is_lost_or_moved(self, inputs, count, size):
        groups = list(batches(texts_of(inputs), count, size))
        assert [text for group in groups for text in group.contents] == inputs
        assert [text.index for group in groups for text in group.texts] == [*range(len(inputs))]
        for group in groups:
            assert 1 <= len(group) <= count
            length = sum(len(text.encode()) + 3 for text in group.contents)
            assert len(group) == 1 or length <= size


class TestBatches:
    def test_a_batch_is_split_in_two_of_half_the_texts(self):
        first, second = Batch(texts_of(["a", "b", "c"])).split()
        assert (first.contents, second.contents) == (["a"], ["b", "c"])
        assert [text.index for text in second.texts] == [1, 2]

    def test_a_shortened_batch_has_as_many_texts_of_half_the_length(self):
        shortened = Batch(texts_of(["abcd", "ab"])).shortened()
        assert shortened.texts == [Text("ab", 0, True), Text("a", 1, True)]
