"""Documents that are copied by the proxy: all of them, or an error."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.ground.errors import StatusError
from tests.unit.semantic.exchanges import World, world
from tests.unit.semantic.targets import semantic_field, target


def page(*, failed: int) -> dict[str, Any]:
    shards = {"total": 2, "successful": 2 - failed, "skipped": 0, "failed": failed}
    hits = {"total": {"value": 0, "relation": "eq"}, "hits": []}
    return {"_scroll_id": "s", "_shards": shards, "hits": hits}


async def updated(before: World) -> Any:
    async with asyncio.TaskGroup() as group:
        before.tasks.open(group)
        answer = await before.request("POST", "/a/_update_by_query", {})
        before.tasks.close()
    return answer


async def test_documents_of_all_shards_are_written_again():
    answer = await updated(world(target(semantic_field()), page(failed=0)))
    assert answer["failures"] == []


async def test_where_a_shard_cannot_be_searched_nothing_is_left_out_in_silence():
    before = world(target(semantic_field()), page(failed=1))
    with pytest.raises(ExceptionGroup) as caught:
        await updated(before)
    (error,) = caught.value.exceptions
    assert isinstance(error, StatusError)
    assert error.status == 503
    assert [asked.method for asked in before.upstream.asked] == ["POST", "DELETE"]
