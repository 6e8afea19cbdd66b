"""Calls of TEXT_EMBEDDING, and what stands for them."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.semantic.esql.embeddings import Call, Parameters, Replaced, calls, replaced
from proxy.semantic.esql.lexer import tokens


def found_in(query: str, params: Any = None) -> list[Call]:
    found = tokens(query)
    return list(calls(found, Parameters(params, found)))


def with_vectors(query: str, params: Any = None) -> str:
    found = tokens(query)
    parameters = Parameters(params, found)
    vectors = {one: [1.0, -0.5] for one in calls(found, parameters)}
    return replaced(query, found, parameters, vectors).text


@pytest.mark.parametrize(
    ("query", "params"),
    [
        ('ROW v = TEXT_EMBEDDING("one", "e")', None),
        ('row v=text_embedding ( /* ( */ "one" ,\n"""e""" // )\n)', None),
        ('ROW v = `text_embedding`("one", "e")', None),
        ('ROW v = TEXT_EMBEDDING(?, "e")', ["one"]),
        ("ROW v = TEXT_EMBEDDING(?, ?)", ["one", "e"]),
        ("ROW v = TEXT_EMBEDDING(?2, ?1)", ["e", "one"]),
        ("ROW v = TEXT_EMBEDDING(?text, ?id)", [{"id": "e"}, {"text": {"value": "one"}}]),
        ("ROW v = TEXT_EMBEDDING(?2, ?1)", [{"id": "e"}, {"text": {"VALUE": "one"}}]),
        ("ROW a = ?, v = TEXT_EMBEDDING(?, ?)", [1, "one", "e"]),
    ],
)
def test_what_is_constant_is_found(query: str, params: Any):
    (call,) = found_in(query, params)
    assert (call.text, call.inference_id, call.timeout) == ("one", "e", None)


def test_a_timeout_may_be_given():
    (call,) = found_in('ROW v = TEXT_EMBEDDING("one", "e", {"timeout": "3s"}), b = 1')
    assert call.timeout == "3s"
    assert call.end == len('ROW v = TEXT_EMBEDDING("one", "e", {"timeout": "3s"})')


@pytest.mark.parametrize(
    ("query", "params"),
    [
        ('ROW v = TEXT_EMBEDDING(CONCAT("a", "b"), "e")', None),
        ('FROM a | EVAL v = TEXT_EMBEDDING(body, "e")', None),
        ('ROW v = TEXT_EMBEDDING("one")', None),
        ('ROW v = TEXT_EMBEDDING("one", 12)', None),
        ('ROW v = TEXT_EMBEDDING("one", "e", "f")', None),
        ('ROW v = TEXT_EMBEDDING("one", "e", {"other": "3s"})', None),
        ('ROW v = TEXT_EMBEDDING("one", "e", {"timeout": ?})', [3]),
        ('ROW v = TEXT_EMBEDDING("one", "e"', None),
        ("ROW v = TEXT_EMBEDDING(", None),
        ("ROW text_embedding = 1", None),
        ('ROW v = MY_TEXT_EMBEDDING("one", "e")', None),
        ('ROW v = "TEXT_EMBEDDING(\\"one\\", \\"e\\")"', None),
        ('ROW v = 1 // TEXT_EMBEDDING("one", "e")', None),
        ('ROW v = TEXT_EMBEDDING(?, "e")', None),
        ('ROW v = TEXT_EMBEDDING(?, "e")', [7]),
        ('ROW v = TEXT_EMBEDDING(?0, "e")', ["one"]),
        ('ROW v = TEXT_EMBEDDING(?9, "e")', ["one"]),
        ('ROW v = TEXT_EMBEDDING(??a, "e")', [{"a": {"identifier": "one"}}]),
        ('ROW v = TEXT_EMBEDDING(?a, "e")', [{"a": {"identifier": "one"}}]),
        ('ROW v = TEXT_EMBEDDING(?a, "e")', [{"a": {}}]),
        ('ROW v = TEXT_EMBEDDING(?a, "e")', "no list"),
    ],
)
def test_what_is_not_constant_is_left(query: str, params: Any):
    assert found_in(query, params) == []
    assert with_vectors(query, params) == query


@pytest.mark.parametrize(
    ("query", "made"),
    [
        (
            'FROM a | WHERE KNN(v, TEXT_EMBEDDING("x", "e")) /* as "x" */ | LIMIT 3',
            'FROM a | WHERE KNN(v, TO_DENSE_VECTOR([1.0, -0.5])) /* as "x" */ | LIMIT 3',
        ),
        (
            'ROW v = TEXT_EMBEDDING("x", "e"), w = TEXT_EMBEDDING("y", "e")',
            "ROW v = TO_DENSE_VECTOR([1.0, -0.5]), w = TO_DENSE_VECTOR([1.0, -0.5])",
        ),
        (
            'ROW a = ?, v = TEXT_EMBEDDING(?, "e") | WHERE ??(b) > ?',
            "ROW a = ?1, v = TO_DENSE_VECTOR([1.0, -0.5]) | WHERE ??3(b) > ?4",
        ),
        (
            'ROW a = ?, v = TEXT_EMBEDDING("x", "e")',
            "ROW a = ?, v = TO_DENSE_VECTOR([1.0, -0.5])",
        ),
        (
            'ROW a = ?3, v = TEXT_EMBEDDING(?1, "e")',
            "ROW a = ?3, v = TO_DENSE_VECTOR([1.0, -0.5])",
        ),
    ],
)
def test_vectors_stand_for_calls(query: str, made: str):
    assert with_vectors(query, ["n", "one", "f", 4]) == made


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1, "0.1"), (0.0, "0.0"), (-2.0, "-2.0"), (1.25e-07, "1.25e-07"), (1e20, "1e+20")],
)
def test_numbers_are_such_as_the_language_has(value: float, text: str):
    query = 'ROW v = TEXT_EMBEDDING("x", "e")'
    found = tokens(query)
    parameters = Parameters(None, found)
    (call,) = calls(found, parameters)
    made = replaced(query, found, parameters, {call: [value]})
    assert made.text == f"ROW v = TO_DENSE_VECTOR([{text}])"


QUERY = """FROM a | WHERE x
  > ? AND KNN(v, TEXT_EMBEDDING(
    "x", ?)) AND z |
EVAL w = TEXT_EMBEDDING("y", "e"), q"""
VECTOR = "TO_DENSE_VECTOR([0.25, 1.0])"


def made() -> Replaced:
    found = tokens(QUERY)
    parameters = Parameters([1, "e"], found)
    vectors = {call: [0.25, 1.0] for call in calls(found, parameters)}
    return replaced(QUERY, found, parameters, vectors)


@pytest.mark.parametrize("word", ["FROM", " x\n", "> ?", "AND KNN", "z |", "EVAL", "q"])
def test_errors_tell_places_of_the_query_that_came(word: str):
    query = made()
    offset = query.text.index("> ?1" if word == "> ?" else word)
    line = query.text.count("\n", 0, offset) + 1
    column = offset - query.text.rfind("\n", 0, offset)
    told = query.reworded(f"Found 1 problem\nline {line}:{column}: it is wrong")
    place = QUERY.index(word)
    line, column = QUERY.count("\n", 0, place) + 1, place - QUERY.rfind("\n", 0, place)
    assert told == f"Found 1 problem\nline {line}:{column}: it is wrong"


def test_places_in_a_vector_are_told_as_that_of_its_call():
    query = made()
    last = query.text.splitlines()[-1]
    for offset in range(len("EVAL w = "), len(f"EVAL w = {VECTOR}")):
        assert last[offset] in VECTOR
        number = query.text.count("\n") + 1
        assert query.reworded(f"Line {number}:{offset + 1}: x") == "Line 4:10: x"


@pytest.mark.parametrize("place", ["line 99:1", "line 1:9999", "line 0:0"])
def test_places_that_there_are_not_do_no_harm(place: str):
    assert made().reworded(place).startswith("line ")


def test_vectors_are_told_as_their_calls():
    query = made()
    told = query.reworded(f"[KNN(v, {VECTOR})] is wrong")
    assert told == '[KNN(v, TEXT_EMBEDDING(\n    "x", ?))] is wrong'


def test_an_upstream_that_has_no_vectors_is_told_of_as_one_that_embeds_none():
    told = made().reworded("Unknown function [TO_DENSE_VECTOR]")
    assert told == "Unknown function [TEXT_EMBEDDING]"
