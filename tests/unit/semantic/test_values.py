"""The texts of a document, found as Elasticsearch finds them."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.ground.errors import StatusError
from proxy.semantic.values import holds_numbers, texts_of, texts_there


@pytest.mark.parametrize(
    ("document", "texts", "is_present"),
    [
        ({}, (), False),
        ({"a": None}, (), True),
        ({"a": {"b": None}}, (), True),
        ({"a": {"b": []}}, (), True),
        ({"a": {"b": "x"}}, ("x",), True),
        ({"a.b": "x"}, ("x",), True),
        ({"a.b": "x", "a": {"b": "y"}}, ("y", "x"), True),
        ({"a": [{"b": "x"}, {"c": 1}, {"b": "y"}]}, ("x", "y"), True),
        ({"a": {"b": [1, 1.5, True, "x"]}}, ("1", "1.5", "true", "x"), True),
        ({"a": "no object"}, (), False),
    ],
)
def test_values_are_found(
    document: dict[str, Any], texts: tuple[str, ...], is_present: bool
) -> None:
    found = texts_of(document, "a.b", "field")
    assert (found.texts, found.is_present) == (texts, is_present)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"a": {"b": {}}}, "HashMap"),
        ({"a": {"b": ["x", None]}}, "ArrayList"),
        ({"a": {"b": [None]}}, "ArrayList"),
        ({"a": {"b": ["x", {}]}}, "ArrayList"),
        ({"a": [{"b": "x"}, {"b": None}]}, "ArrayList"),
        ({"a": {"b": [["x"], ["y"]]}}, "ArrayList"),
        ({"a": [{"b": ["x"]}]}, "ArrayList"),
    ],
)
def test_other_values_are_refused(value: dict[str, Any], kind: str) -> None:
    with pytest.raises(StatusError, match=rf"got \[{kind}\]"):
        texts_of(value, "a.b", "field")


@pytest.mark.parametrize(
    ("document", "texts"),
    [
        ({"a": {"b": "x"}}, ("x",)),
        ({"a": {"b": "x"}, "a.b": ["y", 1]}, ("x", "y", "1")),
        ({"a": {"b": [["x"], [None, {"c": "d"}, "y"]]}}, ("x", "y")),
        ({"a": {"b": None}}, ()),
        ({}, ()),
    ],
)
def test_of_a_stored_document_every_text_is_read(
    document: dict[str, Any], texts: tuple[str, ...]
) -> None:
    assert texts_there(document, "a.b") == texts


def test_numbers_are_noticed() -> None:
    assert holds_numbers({"a": ["x", 1]}, "a")
    assert not holds_numbers({"a": ["x", True], "b": 1}, "a")
