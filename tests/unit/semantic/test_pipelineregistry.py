"""What is known of pipelines, and which requests are looked at for it."""

from __future__ import annotations

import pytest

from proxy.semantic.interception import Interceptor
from proxy.semantic.pipelineregistry import IndexPipelines, Pipelines
from proxy.semantic.pipelines import Pipeline, Processor
from proxy.semantic.registry import Registry, Snapshot
from tests.unit.semantic.stubs import NoUpstream

KNOWN = Pipelines(
    known={"p": Pipeline(id="p", before=(Processor(model_id="m", inputs=None),), after=())},
    unconcerned={"plain"},
)


def interceptor(snapshot: Snapshot) -> Interceptor:
    registry = Registry(NoUpstream(), refresh=1.0)
    registry.snapshot = snapshot
    return Interceptor(registry)


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        (b"PUT", b"/_ingest/pipeline/x", True),
        (b"POST", b"/_ingest/pipeline/_simulate", True),
        (b"GET", b"/_ingest/pipeline/_simulate", True),
        (b"GET", b"/_ingest/pipeline/x", False),
        (b"POST", b"/plain/_doc?pipeline=p", False),
        (b"POST", b"/_bulk", False),
    ],
)
def test_without_pipelines_only_what_may_make_one_is_looked_at(method, target, expected):
    assert interceptor(Snapshot(version=1, active=False)).takes(method, target) is expected


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        (b"GET", b"/_ingest/pipeline/x", True),
        (b"POST", b"/plain/_doc", False),
        (b"POST", b"/plain/_doc?pipeline=p", True),
        (b"POST", b"/plain/_bulk", True),
        (b"PUT", b"/other/_doc/1", True),
        (b"POST", b"/other/_update/1", True),
        (b"GET", b"/other/_doc/1", False),
        (b"POST", b"/plain/_search", False),
        (b"PUT", b"/plain/_settings", True),
        (b"DELETE", b"/plain", True),
        (b"DELETE", b"/plain/_doc/1", False),
    ],
)
def test_with_pipelines_what_may_run_one_is_looked_at(method, target, expected):
    snapshot = Snapshot(version=1, active=True, pipelines=KNOWN, plain={"plain", "other"})
    assert interceptor(snapshot).takes(method, target) is expected


def test_pipelines_are_found_by_index_and_by_endpoint():
    assert KNOWN.concern(IndexPipelines(default="p"))
    assert KNOWN.concern(IndexPipelines(default="q", final="p"))
    assert not KNOWN.concern(IndexPipelines(default="q"))
    assert (KNOWN.naming("m"), KNOWN.naming("n")) == (["p"], [])
