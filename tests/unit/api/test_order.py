from __future__ import annotations


async def test_with_a_task_the_body_comes_first_and_without_one_the_endpoint(proxy):
    assert (await proxy("POST", "/_inference/rerank/nope", b"{x")).status == 400
    assert (await proxy("POST", "/_inference/nope", b"{x")).status == 404
