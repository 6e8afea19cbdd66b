"""What names an endpoint, which must not be deleted, or made anew with another model, then."""

from __future__ import annotations

from typing import Any, Final

import pytest

from proxy.ground.errors import UpstreamUnavailable
from proxy.inference.endpoints import TaskType
from proxy.inference.ports import Uses
from proxy.semantic import layout
from proxy.semantic.modelsettings import SparseModel
from proxy.semantic.ports import UpstreamAnswer
from proxy.semantic.uses import misfits, uses_of
from tests.support.samples import make_endpoint
from tests.unit.semantic.clusters import answered
from tests.unit.semantic.stubs import NoUpstream
from tests.unit.semantic.targets import semantic_field


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


def fields(endpoint: str = "e1", **more: Any) -> Any:
    """One field with vectors of three dimensions."""
    return {"body": semantic_field(endpoint=endpoint, **more)}


def test_what_holds_embeddings_of_another_model_is_named_in_order():
    shown = {"inference_id": "e1", "model_settings": {"dimensions": 3}}
    indices = {
        "z": fields(),
        "a": fields("other", definition={"search_inference_id": "e1"}),
        "declared": fields(seen=False, definition=shown),
        "others": fields("other"),
        "unfilled": fields(seen=False),
        "roomless": fields(model=None),
    }
    named = ("a", "declared", "z")
    assert misfits(indices, make_endpoint(dimensions=4, similarity="cosine")) == named
    assert misfits(indices, make_endpoint(dimensions=3, similarity="l2_norm")) == named
    assert misfits(indices, make_endpoint(TaskType.SPARSE_EMBEDDING)) == named
    assert misfits(indices, make_endpoint(TaskType.RERANK)) == named
    assert misfits(indices, make_endpoint(dimensions=3, similarity="cosine")) == ()
    assert misfits(indices, make_endpoint()) == ()  # its provider is still starting
    assert misfits({"s": fields(model=SparseModel())}, make_endpoint(dimensions=3)) == ("s",)
