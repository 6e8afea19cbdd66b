from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ground.errors import IllegalArgument, ValidationFailed
from proxy.inference.chunking import SEPARATORS, ChunkingSettings, parse_chunking, render_chunking
from tests.support.samples import json_values, refusal_of


def problem_of(**values):
    error = refusal_of(lambda: parse_chunking(values))
    assert isinstance(error, ValidationFailed)
    return error.reason.removeprefix("Validation Failed: ")


@pytest.mark.parametrize("values", [None, {}])
def test_the_default_is_sentences(values):
    assert render_chunking(parse_chunking(values)) == {
        "strategy": "sentence",
        "max_chunk_size": 250,
        "sentence_overlap": 1,
    }


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (
            {"strategy": "sentence", "max_chunk_size": 20},
            {"strategy": "sentence", "max_chunk_size": 20, "sentence_overlap": 1},
        ),
        (
            {"sentence_overlap": 0, "max_chunk_size": 300, "strategy": "sentence"},
            {"strategy": "sentence", "max_chunk_size": 300, "sentence_overlap": 0},
        ),
        (
            {"overlap": 5, "max_chunk_size": 10, "strategy": "word"},
            {"strategy": "word", "max_chunk_size": 10, "overlap": 5},
        ),
        (
            {"strategy": "recursive", "max_chunk_size": 10, "separators": ["a", "b"]},
            {"strategy": "recursive", "max_chunk_size": 10, "separators": ("a", "b")},
        ),
        (
            {"strategy": "recursive", "max_chunk_size": 10, "separator_group": " Markdown "},
            {
                "strategy": "recursive",
                "max_chunk_size": 10,
                "separators": SEPARATORS["markdown"],
            },
        ),
        ({"strategy": "none"}, {"strategy": "none"}),
        ({"strategy": "none", "anything": [1], "max_chunk_size": -1}, {"strategy": "none"}),
    ],
)
def test_settings_are_shown_in_elasticsearchs_order(values, shown):
    rendered = render_chunking(parse_chunking(values))
    assert list(rendered.items()) == list(shown.items())


def test_plain_text_is_the_group_of_separators_unless_another_is_named():
    settings = parse_chunking({"strategy": "recursive", "max_chunk_size": 10})
    assert settings.separators == ("(?<!\\n)\\n\\n(?!\\n)", "(?<!\\n)\\n(?!\\n)")
    assert len(SEPARATORS["markdown"]) == 8


@pytest.mark.parametrize("strategy", ["Sentence", "paragraph", "", 5, True, ["word"], {}])
def test_a_strategy_is_named_exactly(strategy):
    error = refusal_of(lambda: parse_chunking({"strategy": strategy}))
    assert isinstance(error, IllegalArgument)
    assert error.reason.startswith("Invalid chunkingStrategy ")


def test_a_strategy_must_be_named():
    error = refusal_of(lambda: parse_chunking({"max_chunk_size": 20}))
    assert isinstance(error, IllegalArgument)
    assert error.reason == "Can't generate Chunker without ChunkingStrategy provided"


@pytest.mark.parametrize(("strategy", "least"), [("sentence", 20), ("word", 10), ("recursive", 10)])
def test_sizes_have_a_lower_bound_printed_as_a_double(strategy, least):
    small = problem_of(strategy=strategy, max_chunk_size=least - 1, overlap=1)
    assert (
        f"[chunking_settings] Invalid value [{least - 1}.0]. [max_chunk_size] must be a greater "
        f"than or equal to [{least}.0]"
    ) in small


def test_sizes_have_no_upper_bound():
    settings = parse_chunking({"strategy": "sentence", "max_chunk_size": 100_000})
    assert settings.max_chunk_size == 100_000


@pytest.mark.parametrize("strategy", ["sentence", "word", "recursive"])
def test_a_size_must_be_there(strategy):
    assert problem_of(strategy=strategy) == (
        "1: [chunking_settings] does not contain the required setting [max_chunk_size];"
    )


@pytest.mark.parametrize("size", ["50", 2.5, True])
def test_a_size_of_the_wrong_type_is_not_missing_too(size):
    text = str(size).lower() if size is True else size
    assert problem_of(strategy="recursive", max_chunk_size=size) == (
        f"1: field [max_chunk_size] is not of the expected type. The value [{text}] "
        "cannot be converted to a [Integer];"
    )


@pytest.mark.parametrize("size", [0, -5])
def test_a_size_must_be_positive(size):
    assert problem_of(strategy="word", max_chunk_size=size, overlap=1) == (
        f"1: [chunking_settings] Invalid value [{size}]. [max_chunk_size] must be a positive "
        "integer;"
    )


@pytest.mark.parametrize("overlap", [2, -1, 100])
def test_sentences_overlap_by_one_or_none(overlap):
    problem = problem_of(strategy="sentence", max_chunk_size=20, sentence_overlap=overlap)
    assert problem == f"1: sentence_overlap[{overlap}] must be either 0 or 1;"


def test_words_overlap_by_half_a_chunk_at_most():
    assert parse_chunking({"strategy": "word", "max_chunk_size": 11, "overlap": 5}).overlap == 5
    assert problem_of(strategy="word", max_chunk_size=11, overlap=6) == (
        "1: [chunking_settings] Invalid value [6.0]. [overlap] must be a less than or equal to "
        "[5.0];"
    )
    assert "[overlap] must be a positive integer" in problem_of(
        strategy="word", max_chunk_size=11, overlap=0
    )
    assert problem_of(strategy="word", max_chunk_size=11) == (
        "1: [chunking_settings] does not contain the required setting [overlap];"
    )


def test_the_overlap_of_words_is_looked_at_only_with_a_good_size():
    problem = problem_of(strategy="word", max_chunk_size=9)
    assert "[overlap]" not in problem
    assert problem.startswith("1: [chunking_settings] Invalid value [9.0]")


def test_the_overlap_of_sentences_is_always_looked_at():
    problem = problem_of(strategy="sentence", max_chunk_size=1, sentence_overlap=2)
    assert problem.endswith(";2: sentence_overlap[2] must be either 0 or 1;")


@pytest.mark.parametrize(
    ("strategy", "other", "what"),
    [
        ("sentence", "overlap", "Sentence based chunking settings"),
        ("word", "sentence_overlap", "Word based chunking settings"),
        ("recursive", "overlap", "Recursive chunking settings"),
    ],
)
def test_settings_of_another_strategy_come_first(strategy, other, what):
    problem = problem_of(strategy=strategy, **{other: 1})
    assert problem.startswith(f"1: {what} can not have the following settings: [{other}];2: ")


@pytest.mark.parametrize(
    ("separators", "problem"),
    [
        ([], "Recursive chunking settings can not have an empty list of separators"),
        (
            "x",
            "field [separators] is not of the expected type. The value [x] cannot be converted "
            "to a [List]",
        ),
        (
            ["a", 3],
            "field [separators] is not of the expected type. The value [3] cannot be converted "
            "to a [String]",
        ),
    ],
)
def test_separators_are_a_list_of_texts(separators, problem):
    found = problem_of(strategy="recursive", max_chunk_size=10, separators=separators)
    assert found == f"1: {problem};"


def test_separators_and_a_group_exclude_each_other():
    found = problem_of(
        strategy="recursive", max_chunk_size=10, separators=["a"], separator_group="markdown"
    )
    assert found == (
        "1: Recursive chunking settings can not have both separators and separator_set;"
    )


@pytest.mark.parametrize(
    ("group", "problem"),
    [
        (
            "html",
            "[chunking_settings] Invalid value [html] received. [separator_group] must be one of "
            "[markdown, plaintext]",
        ),
        (
            "",
            "[chunking_settings] Invalid value empty string. [separator_group] must be a "
            "non-empty string",
        ),
    ],
)
def test_a_group_must_be_known(group, problem):
    found = problem_of(strategy="recursive", max_chunk_size=10, separator_group=group)
    assert found == f"1: {problem};"


@given(
    st.dictionaries(
        st.sampled_from(
            ("max_chunk_size", "sentence_overlap", "overlap", "separators", "separator_group", "x")
        ),
        st.integers(-1, 400) | json_values,
    ),
    st.sampled_from(("sentence", "word", "recursive", "none")) | json_values,
)
def test_any_settings_are_read_or_refused(values, strategy):
    error = refusal_of(lambda: parse_chunking({"strategy": strategy, **values}))
    assert error is None or error.status == 400


@given(st.integers(20, 300), st.integers(0, 1))
def test_what_is_shown_can_be_put_again(size, overlap):
    settings = ChunkingSettings(max_chunk_size=size, sentence_overlap=overlap)
    assert parse_chunking(render_chunking(settings)) == settings
