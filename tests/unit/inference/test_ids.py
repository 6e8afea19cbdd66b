from __future__ import annotations

import pytest

from proxy.ground.errors import ActionRequestInvalid
from proxy.inference.ids import MAX_ID_BYTES, check_inference_id, is_storable, list_ids
from tests.support.samples import refusal_of


@pytest.mark.parametrize("name", ["a", "0", "a-b_c.d", "any", "a" * 300, "text_embedding"])
def test_ids_that_elasticsearch_takes_are_taken(name):
    check_inference_id(name)


@pytest.mark.parametrize(
    "name", ["", "A", "aB", "-a", "a-", ".a", "a.", "_all", "_", "a b", "a/b", "ä", "a\n", "*"]
)
def test_others_are_refused_in_its_words(name):
    error = refusal_of(lambda: check_inference_id(name))
    assert isinstance(error, ActionRequestInvalid)
    assert error.reason == (
        f"Validation Failed: 1: Invalid inference_id; '{name}' can contain lowercase "
        "alphanumeric (a-z and 0-9), hyphens or underscores; must start and end with "
        "alphanumeric;"
    )


def test_only_ids_that_elasticsearch_could_store_exist():
    assert is_storable("a" * MAX_ID_BYTES)
    assert not is_storable("a" * (MAX_ID_BYTES + 1))
    assert not is_storable("A")


def test_a_list_of_ids_names_the_first_and_counts_the_rest():
    assert list_ids(["a", "b"]) == "[a, b]"
    assert list_ids(["a", "b", "c"], most=2) == "[a, b, 1 more]"
    assert list_ids(["a", "no\nid"]) == "[a, 1 more]"
    assert list_ids(["no\nid"]) == "[1 more]"
