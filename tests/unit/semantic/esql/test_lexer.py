"""The tokens of ES|QL queries."""

from __future__ import annotations

import pytest

from proxy.semantic.esql.lexer import indices_in, tokens


def shown(query: str) -> list[tuple[str, str]]:
    return [(one.kind, one.text) for one in tokens(query)]


@pytest.mark.parametrize(
    ("query", "kinds"),
    [
        ("a1", [("name", "a1")]),
        ("_a @b", [("name", "_a"), ("name", "@b")]),
        ("`a ``|` b", [("quoted", "`a ``|`"), ("name", "b")]),
        ("? ?1 ?a_b ??f ??", [("parameter", one) for one in ("?", "?1", "?a_b", "??f", "??")]),
        ('a // b ? "\n c', [("name", "a"), ("name", "c")]),
        ('a /* b /* c */ " */ d', [("name", "a"), ("name", "d")]),
        ("a /* b", [("name", "a")]),
        ("a /b", [("name", "a"), ("other", "/"), ("name", "b")]),
        ('a "b', [("name", "a")]),
        ("a `b", [("name", "a")]),
        ("0.25,1e5", [("other", "0.25"), ("other", ","), ("other", "1"), ("name", "e5")]),
        ('"a\nb"', []),
        ('"""a"b"""', [("string", '"""a"b"""')]),
        ('"""a"""""', [("string", '"""a"""""')]),
        (r'"a\"b" c', [("string", r'"a\"b"'), ("name", "c")]),
    ],
)
def test_tokens(query: str, kinds: list[tuple[str, str]]):
    assert shown(query) == kinds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('""', ""),
        (r'"a\t\n\r\"\\b"', 'a\t\n\r"\\b'),
        (r'"\\t"', "\\t"),
        (r'"""a\n"b"""', r'a\n"b'),
        ('"""a"""""', 'a""'),
        ('"🚢"', "🚢"),
    ],
)
def test_strings(text: str, value: str):
    (token,) = tokens(text)
    assert token.value() == value


def test_names_are_the_same_in_any_case():
    (plain, quoted) = tokens("Text_Embedding `TEXT_EMBEDDING`")
    assert plain.is_name("text_embedding")
    assert quoted.is_name("text_embedding")
    assert not plain.is_name("knn")


@pytest.mark.parametrize(
    ("query", "indices"),
    [
        ("FROM a", "a"),
        ("from a, b* ,-bc | WHERE c > 1", "a,b*,-bc"),
        ('FROM "a,b" METADATA _id, _score | KEEP x', "a,b"),
        ("FROM <logs-{now/d}>, `odd | LIMIT 1", "<logs-{now/d}>,`odd"),
        ("/* FROM x */ FROM a // b\n | LIMIT 1", "a"),
        ("FROM a::failures", "a"),
        ('FROM far:a, b, far:"c"', "b"),
        ("FROM far:a", ""),
        ("TS metrics | STATS MAX(x)", "metrics"),
        ("FROM a, (FROM b METADATA _id | WHERE x == 1), c METADATA _id | LIMIT 1", "a,b,c"),
        ("SET x = true; FROM a | LIMIT 1", "a"),
        ("FROM a [METADATA _id] | LIMIT 1", "a"),
        ("FROM a | STATS n = COUNT(from), MAX(from + 1) | EVAL from = 1", "a"),
        ('FROM a | WHERE b == "FROM c" | LOOKUP JOIN d ON e', "a"),
        ("ROW a = 1", ""),
        ("SHOW INFO", ""),
        ("", ""),
    ],
)
def test_what_a_query_reads(query: str, indices: str):
    assert indices_in(tokens(query)) == indices


def test_what_follows_the_indices_is_read_as_ever():
    found = tokens('FROM a METADATA _score | WHERE KNN(v, TEXT_EMBEDDING("x", `y`))')
    assert [one.kind for one in found if one.text in ("a", '"x"', "`y`")] == [
        "source",
        "string",
        "quoted",
    ]


def test_a_query_of_too_many_tokens_is_not_looked_into():
    assert len(tokens("(" * 100_000)) == 100_000
    assert tokens("(" * 100_001) == []
    assert tokens("1.5, " * 60_000) == []
    assert len(tokens("1.5, " * 4096)) == 8192
