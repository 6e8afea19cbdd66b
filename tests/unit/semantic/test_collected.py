"""The answer of a bulk, collected item by item."""

from __future__ import annotations

import orjson
import pytest

from proxy.semantic.collected import CollectedItems


@pytest.mark.parametrize("count", [0, 1, 3, 15000])
def test_items_come_back_as_they_were(count: int):
    items = [{"index": {"_id": str(number), "pad": "p" * 100}} for number in range(count)]
    collected = CollectedItems()
    for start in range(0, count, 100):
        some = items[start : start + 100]
        if start % 200:
            collected.add_written(orjson.dumps(some)[1:-1], len(some))
        else:
            collected.add(some)
    answer = orjson.loads(b"".join(collected.rendered(7)))
    assert answer == {"errors": False, "took": 7, "items": items}
    assert collected.count == count
    assert collected.is_large == (count == 15000)


def test_one_error_is_enough():
    collected = CollectedItems()
    collected.add([{"index": {"error": {}}}, {"index": {}}])
    assert orjson.loads(b"".join(collected.rendered(7)))["errors"] is True


def test_what_was_collected_last_is_kept_as_it_is():
    collected = CollectedItems()
    for _ in range(2):
        assert not collected.is_large
        collected.add([{"index": {"pad": "p" * 1_100_000}}])
    assert collected.is_large
