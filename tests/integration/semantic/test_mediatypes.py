"""Whatever version of the API a caller names, the layer names it in its own questions, too."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final

import pytest

from tests.support.layer import MAPPINGS, Caller, proxy_and_upstream
from tests.support.rawhttp import send

INDEX: Final = "versions-notes"
VENDOR: Final = "application/vnd.elasticsearch+{}; compatible-with={}"
TYPES: Final = (
    None,
    "application/json",
    "*/*",
    "application/yaml",
    VENDOR.format("json", 8),
    VENDOR.format("json", 9),
    VENDOR.format("json", 9) + ",text/plain",  # of JavaScript's client
    VENDOR.format("yaml", 8),
    VENDOR.format("x-ndjson", 9),
)
REQUESTS: Final = (
    ("GET", "/_search", None),
    ("POST", "/_search?q=moon", None),
    ("POST", "/_search", b"{}"),
    ("GET", "/_search?source={}&source_content_type=application/json", None),
    ("GET", "/_count", None),
    ("GET", "/_count", b"{}"),
    ("GET", "/_validate/query", None),
    ("GET", "/_doc/1", None),
    ("GET", "/_mapping", None),
    ("GET", "/_field_caps?fields=*", None),
)


@pytest.fixture(scope="module")
def callers(serve_for_session, elasticsearch) -> Iterator[tuple[Caller, Caller]]:
    """A proxy before an index with a semantic field, and the upstream."""
    indices = {INDEX: MAPPINGS}
    with proxy_and_upstream(serve_for_session, elasticsearch.url, "versions", indices) as found:
        yield found


@pytest.mark.parametrize("target", ["/_mget", "/_search", "/_count"])
def test_a_body_in_yaml_is_read_as_such(callers, target):
    headers = [("Content-Type", "application/yaml"), ("Accept", "application/json")]
    body = b'---\nids:\n- "1"\n' if target == "/_mget" else b"---\nquery:\n  match_all: {}\n"
    statuses = {
        send(caller.url, "POST", f"/{INDEX}{target}", headers, body).status for caller in callers
    }
    assert statuses == {200}


@pytest.mark.parametrize(("method", "target", "body"), REQUESTS)
def test_requests_are_taken_and_refused_as_by_elasticsearch(callers, method, target, body):
    others = {}
    for accept, sent in product(TYPES, TYPES):
        headers = [("Accept", accept), ("Content-Type", sent)]
        given = [(name, value) for name, value in headers if value is not None]
        ours, theirs = (
            (answer.status, answer.status == 200 and answer.header("Content-Type"))
            for caller in callers
            for answer in [send(caller.url, method, f"/{INDEX}{target}", given, body)]
        )
        if ours != theirs:
            others[accept, sent] = (ours, theirs)
    assert not others, "\n".join(map(str, others.items()))
