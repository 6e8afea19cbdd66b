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


async def asked_for(before: World, target: str, body: Any) -> Any:
    async with asyncio.TaskGroup() as group:
        before.tasks.open(group)
        answer = await before.request("POST", target, body)
        before.tasks.close()
    return answer


async def updated(before: World, query: str = "") -> Any:
    return await asked_for(before, f"/a/_update_by_query{query}", {})


async def test_documents_of_all_shards_are_written_again():
    answer = await updated(world(target(semantic_field()), page(failed=0)))
    assert answer["failures"] == []


async def test_the_url_says_which_documents_are_meant():
    before = world(target(semantic_field()), page(failed=0))
    await updated(before, "?q=a:x&routing=r&refresh=true&scroll_size=3")
    assert before.upstream.asked[0].target == "/a/_search?q=a%3Ax&routing=r&scroll=5m"


async def test_names_of_sources_are_read_as_elasticsearch_reads_them():
    before = world(target(semantic_field()), page(failed=0))
    before.registry.writes_to("a")
    body = {"source": {"index": ["b", 5]}, "dest": {"index": "a"}}
    await asked_for(before, "/_reindex", body)
    assert before.upstream.asked[0].target == "/b,5/_search?scroll=5m"


async def test_where_a_shard_cannot_be_searched_nothing_is_left_out_in_silence():
    before = world(target(semantic_field()), page(failed=1))
    with pytest.raises(ExceptionGroup) as caught:
        await updated(before)
    (error,) = caught.value.exceptions
    assert isinstance(error, StatusError)
    assert error.status == 503
    assert [asked.method for asked in before.upstream.asked] == ["POST", "DELETE"]
