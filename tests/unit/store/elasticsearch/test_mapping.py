from __future__ import annotations

from typing import Any

import pytest

from proxy.ground.errors import StoreDamaged, StoreError
from proxy.store.elasticsearch.mapping import FIELDS, check_fields


def field_caps(*indices: str, **kinds: Any) -> dict[str, Any]:
    """An answer to `_field_caps`."""
    fields = {**FIELDS, **kinds}
    return {
        "indices": list(indices),
        "fields": {name: {kind: {}} for name, kind in fields.items() if kind is not None},
    }


def test_an_index_as_the_proxy_makes_it_passes():
    check_fields(field_caps("i"), "i")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (field_caps("i", blob="text"), r"the field \[blob\] is \[text\], not \[binary\]\. Delete"),
        (field_caps("i", id=None), r"the field \[id\] is missing, not \[keyword\]\. Delete"),
        (field_caps("i", "j"), "it is an alias of several indices"),
    ],
)
def test_another_index_is_refused_with_the_difference(body, text):
    with pytest.raises(StoreDamaged, match=rf"^The index \[i\] is not as the proxy.*{text}"):
        check_fields(body, "i")


@pytest.mark.parametrize("body", [None, [], {}, {"indices": []}, {"indices": ["i"]}])
def test_an_answer_of_another_shape_is_an_error(body):
    with pytest.raises(StoreError, match="did not answer what it was asked"):
        check_fields(body, "i")
