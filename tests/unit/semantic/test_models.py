"""Room for vectors in indices that were made before their endpoint."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest

from proxy.ground.errors import StatusError
from proxy.semantic import layout
from proxy.semantic.models import writable_target
from tests.unit.semantic.clusters import SEMANTIC, Cluster, answered, registry
from tests.unit.semantic.exchanges import world
from tests.unit.semantic.targets import target

MODEL: Final = {"task_type": "text_embedding", "dimensions": 3, "similarity": "cosine"}


class Upstream(Cluster):
    """One in which indices can be made and mappings changed."""

    def __init__(self, **indices: Any) -> None:
        super().__init__(**indices)
        self.put: list[tuple[str, bytes]] = []
        self.made: list[str] = []
        self.refuses = 200

    async def version(self):
        return "9.2.4"

    async def ask_as_proxy(self, method, target, body=b""):
        if method == "PUT":
            self.put.append((target, body))
            if self.refuses < 300:
                name = target.split("/")[1]
                below = orjson.loads(body)["properties"]["xinf"]
                properties = {"body": layout.PLACEHOLDER, "xinf": below}
                self.indices[name] = {"properties": properties}
                self.state += 1
            return answered(self.refuses, {})
        return await super().ask_as_proxy(method, target, body)

    async def ask_as_caller(self, request, method, target, body=b""):
        self.made.append(target)
        if target in ("/late", "/_data_stream/stream"):
            self.indices[target.rpartition("/")[2]] = SEMANTIC
            self.state += 1
            return answered(200, {})
        return answered(400, {})


async def of(upstream: Upstream, name: str) -> Any:
    here = world(target())
    here.upstream = upstream  # type: ignore[assignment]
    here.registry = registry(upstream)  # type: ignore[assignment]
    exchange, _ = here.exchange("POST", f"/{name}/_doc", {})
    return await writable_target(exchange, name), exchange


async def test_room_is_made_once_the_endpoint_is_known():
    upstream = Upstream(notes=SEMANTIC)
    found, _ = await of(upstream, "notes")
    ((path, body),) = upstream.put
    assert path == "/notes/_mapping"
    below = orjson.loads(body)["properties"]["xinf"]["properties"]["body"]
    model = layout.model_of(below)
    assert model is not None
    assert model.items() >= MODEL.items()
    assert found.fields["body"].model is not None


async def test_an_index_with_room_stays_as_it_is():
    upstream = Upstream(notes=SEMANTIC)
    await of(upstream, "notes")
    await of(upstream, "notes")
    assert len(upstream.put) == 1


async def test_an_index_that_is_to_come_is_made_first():
    upstream = Upstream(notes=SEMANTIC)
    upstream.answers["/_index_template/_simulate_index/late"] = answered(
        200, {"template": {"mappings": SEMANTIC}}
    )
    found, exchange = await of(upstream, "late")
    assert upstream.made == ["/late"]
    assert found.index == "late"
    assert found.fields["body"].model is not None
    assert exchange.changes  # which names lead to semantic fields


async def test_or_a_data_stream():
    upstream = Upstream(notes=SEMANTIC)
    upstream.answers["/_index_template/_simulate_index/stream"] = answered(
        200, {"template": {"mappings": SEMANTIC}}
    )
    found, _ = await of(upstream, "stream")
    assert upstream.made == ["/stream", "/_data_stream/stream"]
    assert found.index == "stream"


async def test_one_that_cannot_be_made_is_told_by_writing_to_it():
    upstream = Upstream(notes=SEMANTIC)
    upstream.answers["/_index_template/_simulate_index/never"] = answered(
        200, {"template": {"mappings": SEMANTIC}}
    )
    found, _ = await of(upstream, "never")
    assert found.index is None
    assert upstream.put == []


async def test_a_proxy_that_may_not_make_room_says_so():
    upstream = Upstream(notes=SEMANTIC)
    upstream.refuses = 403
    with pytest.raises(StatusError, match=r"Field \[body\] of index \[notes\].*answered \[403\]"):
        await of(upstream, "notes")
