"""Which handler a request gets."""

from __future__ import annotations

import re

import pytest

from proxy.semantic.ingest.requests import put_pipeline, simulate_pipeline
from proxy.semantic.interception import Interceptor
from proxy.semantic.pages import next_page
from proxy.semantic.reading import get_document
from proxy.semantic.routes import PATHS, ROUTES
from proxy.semantic.searches import search
from proxy.semantic.showing import show_mappings
from proxy.semantic.singles import put_document
from proxy.semantic.templates import search_template
from proxy.semantic.upstreamrelease import UpstreamRelease
from tests.unit.semantic.clusters import SEMANTIC, Cluster, registry


@pytest.mark.parametrize(
    ("method", "path", "handler", "names"),
    [
        ("POST", "/a/_search", search, {"index": "a"}),
        ("GET", "/_search", search, {}),
        ("POST", "/_search/scroll", next_page, {}),
        ("POST", "/_search/template", search_template, {}),
        ("PUT", "/a/_doc/1", put_document, {"index": "a", "id": "1"}),
        ("HEAD", "/a/_doc/1", get_document, {"index": "a", "id": "1"}),
        ("GET", "/a", show_mappings, {"index": "a"}),
        ("PUT", "/_ingest/pipeline/p", put_pipeline, {"id": "p"}),
        ("POST", "/_ingest/pipeline/_simulate", simulate_pipeline, {}),
    ],
)
def test_the_nearest_route_is_taken(method, path, handler, names):
    match = PATHS.match(path[1:].split("/"))
    assert match is not None
    assert ROUTES[match.pattern][method] is handler
    assert match.parameters == names


def test_other_paths_have_no_route():
    assert PATHS.match(["_cat", "indices", "a", "b"]) is None


@pytest.mark.parametrize("pattern", ROUTES)
async def test_every_route_is_reached_where_there_are_fields(pattern: str):
    known = registry(Cluster(notes=SEMANTIC))
    await known.look()
    release = UpstreamRelease(None)  # type: ignore[arg-type] # it is not asked
    interceptor = Interceptor(known, release)
    target = re.sub(r"\{[^}]*\}", "notes", pattern).encode()
    assert any(interceptor.takes(method.encode(), target) for method in ROUTES[pattern])
