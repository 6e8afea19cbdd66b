"""Which requests are looked at for the sake of pipelines."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from proxy.ground.epoch import Epoch
from proxy.semantic.discovery import Declared
from proxy.semantic.interception import Interceptor
from proxy.semantic.pipelines import Pipeline, Processor
from proxy.semantic.registry import Registry, Snapshot
from proxy.semantic.targets import Pipelines, WriteTarget
from proxy.semantic.upstreamrelease import UpstreamRelease
from tests.unit.semantic.stubs import NoUpstream

OURS = {"p": Pipeline(id="p", before=(Processor(model_id="m", inputs=None),), after=())}
WRITTEN: dict[str, object] = {
    name: WriteTarget(index=name, fields={}, pipelines=pipelines)
    for name, pipelines in {
        "plain": Pipelines(main="q"),
        "concerned": Pipelines(main="q", final="p"),
    }.items()
}


def interceptor(pipelines: Mapping[str, Pipeline]) -> Interceptor:
    """One that knows of no semantic field, and of these pipelines."""
    registry = Registry(NoUpstream(), 1.0, Epoch())
    nothing = Declared(indices=frozenset(), templates=False)
    registry.know(Snapshot(state="s", declared=nothing, pipelines=pipelines))
    for name in ("plain", "concerned", "other"):
        registry.snapshot.plain.keep(name, None)
    for name, target in WRITTEN.items():
        registry.snapshot.written.keep(name, target)
    return Interceptor(registry, UpstreamRelease(None))  # type: ignore[arg-type]


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
    assert interceptor({}).takes(method, target) is expected


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        (b"GET", b"/_ingest/pipeline/x", True),
        (b"POST", b"/plain/_doc", False),
        (b"POST", b"/plain/_doc?pipeline=p", True),
        (b"POST", b"/plain/_bulk", True),
        (b"POST", b"/plain/_update_by_query", False),
        (b"PUT", b"/concerned/_doc/1", True),
        (b"POST", b"/concerned/_update_by_query", True),
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
    assert interceptor(OURS).takes(method, target) is expected


@pytest.mark.parametrize(
    ("requested", "expected"),
    [(None, ("default", "p")), ("mine", ("mine", "p")), ("_none", (None, "p"))],
)
def test_a_request_chooses_the_main_pipeline_only(requested, expected):
    chosen = Pipelines(main="default", final="p").for_request(requested)
    assert (chosen.main, chosen.final) == expected
    assert chosen.concern(OURS)
    assert not chosen.concern({})
