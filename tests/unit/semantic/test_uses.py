"""What names an endpoint, which must not be deleted as long as anything does."""

from __future__ import annotations

from typing import Any, Final

import pytest

from proxy.ground.errors import UpstreamUnavailable
from proxy.inference.ports import Uses
from proxy.semantic import layout
from proxy.semantic.ports import UpstreamAnswer
from proxy.semantic.uses import uses_of
from tests.unit.semantic.clusters import answered
from tests.unit.semantic.stubs import NoUpstream


def index(**definition: str) -> Any:
    below = layout.field_mapping({"type": "semantic_text", **definition}, None)
    container = layout.container({"a": below})
    return {"mappings": {"properties": {"a": layout.PLACEHOLDER, "xinf": container}}}


MAPPINGS: Final = {
    "z": index(inference_id="embed"),
    "a": index(inference_id="other", search_inference_id="embed"),
    "others": index(inference_id="other"),
    "plain": {"mappings": {}},
}
PIPELINES: Final = {
    "p": {"processors": [{"inference": {"model_id": "embed"}}]},
    "q": {"_meta": {"xinf": {"before": [{"inference": {"model_id": "embed"}}], "after": []}}},
    "r": {"processors": [{"inference": {"model_id": "other"}}]},
}


class Upstream(NoUpstream):
    def __init__(self, mappings: UpstreamAnswer, pipelines: UpstreamAnswer) -> None:
        self.answers = {"/_all": mappings, "/_ing": pipelines}

    async def ask_as_proxy(self, method: str, target: str, body: bytes = b"") -> UpstreamAnswer:
        return self.answers[target[:5]]


async def test_indices_and_pipelines_are_named_in_order():
    upstream = Upstream(answered(200, MAPPINGS), answered(200, PIPELINES))
    found = await uses_of("embed", upstream)
    assert found == Uses(indexes=("a", "z"), pipelines=("p", "q"))


@pytest.mark.parametrize("status", [403, 404])
async def test_what_the_proxy_may_not_see_is_not_named(status: int):
    found = await uses_of("embed", Upstream(answered(status, {}), answered(status, {})))
    assert found == Uses(indexes=(), pipelines=())


async def test_a_failure_is_not_taken_for_no_use():
    with pytest.raises(UpstreamUnavailable):
        await uses_of("embed", Upstream(answered(200, MAPPINGS), answered(503, {})))
