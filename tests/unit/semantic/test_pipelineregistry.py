"""Which stored pipelines are ours."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from proxy.ground.errors import UpstreamUnavailable
from proxy.semantic.pipelineregistry import PipelineRegistry
from proxy.semantic.ports import UpstreamAnswer
from tests.unit.semantic.clusters import answered
from tests.unit.semantic.stubs import NoUpstream

PAIR = {"input_field": "a", "output_field": "b"}
OURS: dict[str, Any] = {"inference": {"model_id": "embed", "input_output": PAIR}}


class Upstream(NoUpstream):
    def __init__(self, answer: UpstreamAnswer) -> None:
        self.answer = answer

    async def ask_as_proxy(self, method: str, target: str, body: bytes = b"") -> UpstreamAnswer:
        return self.answer


async def test_pipelines_of_others_and_changed_ones_are_left_out():
    stored = {
        "ours": {"_meta": {"xinf": {"before": [OURS], "after": []}}},
        "changed": {"_meta": {"xinf": {"before": [1], "after": []}}},
        "handling": {"on_failure": [{"set": {}}]},
    }
    found = await PipelineRegistry(Upstream(answered(200, stored))).read()
    assert list(found) == ["ours"]
    assert found["ours"].before[0].model_id == "embed"


async def test_there_may_be_none():
    assert await PipelineRegistry(Upstream(answered(404, {}))).read() == {}


async def test_a_failure_is_not_taken_for_none():
    with pytest.raises(UpstreamUnavailable):
        await PipelineRegistry(Upstream(answered(503, {}))).read()


async def test_a_privilege_that_lacks_is_told_once(caplog: pytest.LogCaptureFixture):
    upstream = Upstream(answered(403, {}))
    pipelines = PipelineRegistry(upstream)
    with caplog.at_level(logging.WARNING):
        assert await pipelines.read() == await pipelines.read() == {}
    assert not pipelines.is_readable
    assert len(caplog.records) == 1
    assert "[read_pipeline]" in caplog.text
    upstream.answer = answered(200, {})
    await pipelines.read()
    assert pipelines.is_readable
