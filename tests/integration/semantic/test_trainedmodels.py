"""Endpoints called as trained models, as LangChain and other clients do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.semantic.meaningful import Place, place
from tests.support.meaning import vector

PREFIX = "trained"
TARGETS = ("/_ml/trained_models/{}/_infer", "/_ml/trained_models/{}/deployment/_infer")


@pytest.fixture(scope="module")
def here(serve_for_session, elasticsearch) -> Iterator[Place]:
    with place(serve_for_session, elasticsearch, PREFIX) as found:
        found.endpoint("embed")
        yield found


@pytest.mark.parametrize("target", TARGETS)
def test_texts_are_embedded(here, target):
    documents = [{"text_field": "one harbour"}, {"text_field": "two ships"}]
    with here.embedding() as calls:
        path = target.format(here.name("embed")) + "?timeout=30s"
        status, answer = here.post(path, {"docs": documents})
    assert status == 200, answer
    found = [one["predicted_value"] for one in answer["inference_results"]]
    assert found == [pytest.approx(vector(one["text_field"])) for one in documents]
    assert calls == [["one harbour", "two ships"]]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"docs": [{"x": "y"}]}, "Input field [text_field] does not exist in the source document"),
        ({"docs": [{"text_field": 1}]}, "Input field [text_field] does not exist"),
        ({"docs": {}}, "[docs] must be a list of documents"),
        ({}, "[docs] must be a list of documents"),
        ([], "[docs] must be a list of documents"),
    ],
)
def test_what_has_no_text_is_a_mistake(here, body, reason):
    """Clients look so whether a model is there: 404 would say that it is not."""
    with here.embedding() as calls:
        status, answer = here.post(TARGETS[0].format(here.name("embed")), body)
    assert status == 400
    assert answer["error"]["reason"].startswith(reason)
    assert not calls


def test_another_model_is_the_upstreams(here, elasticsearch):
    target, body = TARGETS[0].format("elsewhere"), {"docs": [{"text_field": "a"}]}
    direct = type(here.client)(elasticsearch.url)("POST", target, body)
    through = here.client("POST", target, body)
    assert (through.status, through.document) == (direct.status, direct.document)
