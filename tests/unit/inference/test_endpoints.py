from __future__ import annotations

import json

import pytest

from proxy.inference.endpoints import TaskSettings
from proxy.inference.rendering import render_endpoint
from tests.support.samples import TOKEN, make_endpoint


def test_a_printed_endpoint_does_not_hold_its_token():
    endpoint = make_endpoint()
    for text in (repr(endpoint), str(endpoint), f"{endpoint.secret_settings}"):
        assert TOKEN not in text
    assert TOKEN not in json.dumps(render_endpoint(endpoint))


@pytest.mark.parametrize(
    ("old", "new", "merged"),
    [
        ((None, None), (None, None), (None, None)),
        ((3, True), (None, None), (3, True)),
        ((3, True), (1, False), (1, False)),
        ((3, None), (None, False), (3, False)),
    ],
)
def test_merged_task_settings_are_the_new_ones_where_there_are_any(old, new, merged):
    def settings(values):
        return TaskSettings(top_n=values[0], return_documents=values[1])

    assert settings(old).merged(settings(new)) == settings(merged)
