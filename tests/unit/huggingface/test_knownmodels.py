from __future__ import annotations

import pytest

from proxy.huggingface.knownmodels import known_model


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("intfloat/e5-small-v2", "e5"),
        ("intfloat/multilingual-e5-large", "e5"),
        ("/data/e5-base", "e5"),
        ("https://router.huggingface.co/hf-inference/models/intfloat/e5-large-v2/pipeline", "e5"),
        ("BAAI/bge-large-en-v1.5", "bge"),
        ("BAAI/bge-small-en", "bge"),
        ("BAAI/bge-base-zh-v1.5", "bge-zh"),
        ("intfloat/multilingual-e5-large-instruct", None),
        ("intfloat/e5-mistral-7b-instruct", None),
        ("BAAI/bge-m3", None),
        ("sentence-transformers/all-MiniLM-L6-v2", None),
        ("https://e5.eu-west-1.aws.endpoints.huggingface.cloud/", None),
    ],
)
def test_families_are_known_by_their_names(name, family):
    found = known_model(name)
    assert (found.family if found else None) == family
