from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ground.errors import ValidationFailed
from proxy.inference.chunking import ChunkingSettings
from proxy.inference.dumping import check_size, dump_endpoint, load_endpoint
from proxy.inference.endpoints import (
    ELSER_SERVICE,
    SERVICE,
    InferenceEndpoint,
    SecretSettings,
    ServiceSettings,
    TaskSettings,
)
from proxy.inference.fingerprints import Fingerprint, Model
from proxy.xcontent.values import Json
from tests.support.samples import TASKS, make_endpoint

endpoints = st.builds(
    InferenceEndpoint,
    inference_id=st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True),
    task_type=st.sampled_from(TASKS),
    service=st.sampled_from((SERVICE, ELSER_SERVICE)),
    service_settings=st.builds(
        ServiceSettings,
        url=st.just("http://h/ü"),
        model_id=st.none() | st.text(max_size=5),
        similarity=st.none() | st.sampled_from(("cosine", "l2_norm")),
        dimensions=st.none() | st.integers(1, 5000),
        max_input_tokens=st.none() | st.integers(1, 5000),
        requests_per_minute=st.integers(1, 2**63 - 1),
    ),
    secret_settings=st.builds(SecretSettings, api_key=st.text(min_size=1, max_size=5)),
    task_settings=st.builds(
        TaskSettings,
        top_n=st.none() | st.integers(1, 9),
        return_documents=st.none() | st.booleans(),
    ),
    chunking_settings=st.none()
    | st.builds(
        ChunkingSettings,
        separators=st.none() | st.lists(st.text(max_size=3), min_size=1).map(tuple),
    ),
    fingerprint=st.none()
    | st.builds(
        Fingerprint,
        vector=st.just("ADwAAA=="),
        dimensions=st.integers(1, 5000),
        model=st.builds(Model, model_id=st.none() | st.text(max_size=5)),
        alarms=st.integers(0, 2),
    ),
)


@given(endpoints)
def test_a_stored_endpoint_comes_back_as_it_was(endpoint):
    assert load_endpoint(json.loads(json.dumps(dump_endpoint(endpoint)))) == endpoint


@given(endpoints, st.data())
def test_a_document_that_lacks_a_key_is_none(endpoint, data):
    document = dump_endpoint(replace(endpoint, fingerprint=None))
    del document[data.draw(st.sampled_from(sorted(document)))]
    with pytest.raises(KeyError):
        load_endpoint(document)


@pytest.mark.parametrize(
    "changes",
    [
        {"task_type": "nope"},
        {"service_settings": {"nope": 1}},
        {"service_settings": None},
        {"secret_settings": {}},
        {"chunking_settings": {"separators": None, "nope": 1}},
    ],
)
def test_a_document_of_another_shape_is_none(changes):
    with pytest.raises((KeyError, TypeError, ValueError)):
        load_endpoint({**dump_endpoint(make_endpoint()), **changes})


def test_settings_beyond_measure_are_not_looked_at():
    check_size({"service_settings": {"url": "u" * 200_000}})
    too_much: list[Json] = [{"url": "u" * 300_000}, {"u" * 300_000: 1}, {"a": [{}] * 40_000}]
    for settings in too_much:
        with pytest.raises(ValidationFailed, match=r"of \[65536\] that can be stored"):
            check_size({"service_settings": settings})
