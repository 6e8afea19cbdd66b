from __future__ import annotations

import pytest

from proxy.api.routes import PATHS, ROUTES
from proxy.ground.errors import NoHandler, NotOurs
from proxy.rest.routing import wrong_method
from tests.support.requests import request_of


@pytest.mark.parametrize(
    ("path", "pattern", "parameters"),
    [
        ("/_inference", "/_inference", {}),
        ("/_inference/", "/_inference", {}),
        ("/_inference/_all", "/_inference/_all", {}),
        ("/_inference/_services", "/_inference/_services", {}),
        (
            "/_inference/_services/rerank",
            "/_inference/_services/{task_type}",
            {"task_type": "rerank"},
        ),
        ("/_inference/.diagnostics", "/_inference/.diagnostics", {}),
        (
            "/_inference/text_embedding",
            "/_inference/{task_type_or_id}",
            {"task_type_or_id": "text_embedding"},
        ),
        ("/_inference/x/", "/_inference/{task_type_or_id}", {"task_type_or_id": "x"}),
        ("/_inference/%74e1", "/_inference/{task_type_or_id}", {"task_type_or_id": "te1"}),
        ("/_inference/a%2Fb", "/_inference/{task_type_or_id}", {"task_type_or_id": "a/b"}),
        (
            "/_inference//te1",
            "/_inference/{task_type_or_id}/{inference_id}",
            {"task_type_or_id": "", "inference_id": "te1"},
        ),
        ("/_inference//", "/_inference", {}),
        ("/_inference/a+b", "/_inference/{task_type_or_id}", {"task_type_or_id": "a+b"}),
        ("/_inference/%5Fall", "/_inference/{task_type_or_id}", {"task_type_or_id": "_all"}),
        ("/_inference/%ff", "/_inference/{task_type_or_id}", {"task_type_or_id": "\ufffd"}),
        (
            "/_inference/completion/_stream",
            "/_inference/{task_type_or_id}/_stream",
            {"task_type_or_id": "completion"},
        ),
        (
            "/_inference/rerank/x/_update",
            "/_inference/{task_type_or_id}/{inference_id}/_update",
            {"task_type_or_id": "rerank", "inference_id": "x"},
        ),
        (
            "/_inference/rerank/_all",
            "/_inference/{task_type_or_id}/{inference_id}",
            {"task_type_or_id": "rerank", "inference_id": "_all"},
        ),
    ],
)
def test_literals_win_and_segments_are_decoded_afterwards(path, pattern, parameters):
    match = PATHS.match(request_of(path).segments())
    assert match is not None
    assert (match.pattern, match.parameters) == (pattern, parameters)


@pytest.mark.parametrize(
    "path",
    [
        "/_inference/a/b/c",
        "/_inference/a/b/_stream/c",
        "/_Inference/x",
        "/_inferences/x",
        "//_inference//x",
        "/_inference/_all/x",
        "/_inference/_services/a/b",
        "/_inference/.diagnostics/x",
        "/_inference/_stream/x/y",
    ],
)
def test_other_paths_lead_nowhere(path):
    assert PATHS.match(request_of(path).segments()) is None


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("PATCH", "Incorrect HTTP method for uri [/_inference/_all?pretty] and method [PATCH]"),
        ("HEAD", "Incorrect HTTP method for uri [/_inference/_all?pretty] and method [HEAD]"),
        ("FOO", "Unexpected http method: FOO"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(method, text):
    error = wrong_method(request_of("/_inference/_all?pretty", method), ["GET", "PUT"])
    assert error.envelope() == {"error": f"{text}, allowed: [GET, PUT]", "status": 405}
    assert list(error.headers) == [("Allow", "GET,PUT")]


def test_a_path_that_leads_nowhere_may_lead_somewhere_upstream():
    error = NoHandler("GET", "/_inference/a/b/c?x=1")
    assert isinstance(error, NotOurs)
    assert error.envelope() == {
        "error": "no handler found for uri [/_inference/a/b/c?x=1] and method [GET]"
    }


def test_methods_are_named_in_elasticsearchs_order():
    for path in (
        "/_inference/{task_type_or_id}",
        "/_inference/{task_type_or_id}/{inference_id}",
    ):
        assert list(ROUTES[path]) == ["GET", "POST", "PUT", "DELETE"]
    for path, methods in ROUTES.items():
        if path.endswith("/_stream"):
            assert list(methods) == ["POST"]
        if path.endswith("/_update"):
            assert list(methods) == ["PUT"]
