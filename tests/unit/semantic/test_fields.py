"""What is declared of a semantic field, and which models go with each other."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.semantic.targets import semantic_field


def test_queries_have_an_endpoint_of_their_own_if_the_field_names_one():
    assert semantic_field().search_inference_id == "e"
    named = semantic_field(definition={"search_inference_id": "s"})
    assert (named.inference_id, named.search_inference_id) == ("e", "s")


@pytest.mark.parametrize("settings", [None, {}])
def test_a_field_without_settings_is_cut_as_its_endpoint_says(settings: Any):
    assert semantic_field(definition={"chunking_settings": settings}).chunking is None


def test_a_field_may_say_how_it_is_cut():
    settings = {"strategy": "word", "max_chunk_size": 20, "overlap": 5}
    chunking = semantic_field(definition={"chunking_settings": settings}).chunking
    assert chunking is not None
    assert (chunking.strategy, chunking.max_chunk_size, chunking.overlap) == ("word", 20, 5)
