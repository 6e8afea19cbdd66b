from __future__ import annotations

import pytest

from proxy.ground.errors import MemoryShort
from proxy.inference.endpoints import TaskType
from proxy.inference.ports import MAX_REFUSED
from proxy.limits.memory import MemoryBudget
from proxy.store.listing import PER_BYTE, ListingMaker
from proxy.store.sealed import Keyring
from tests.support.storeconformance import endpoint

KEYS, OTHERS = Keyring(b"k" * 32), Keyring(b"o" * 32)


def test_a_listing_has_what_opens_sorted_and_once():
    maker = ListingMaker(KEYS, TaskType.RERANK)
    b, a = (KEYS.seal(endpoint(name, TaskType.RERANK)) for name in "ba")
    maker.add([b, a, KEYS.seal(endpoint("c")), OTHERS.seal(endpoint("d"))])
    maker.add([b])
    listing = maker.listing()
    assert [one.inference_id for one in listing.endpoints] == ["a", "b"]
    assert listing.refused == ("d",)
    assert listing.complete


def test_refused_records_are_named_up_to_a_number_and_logged_once(caplog):
    for _ in range(3):
        maker = ListingMaker(KEYS, None)
        maker.add(OTHERS.seal(endpoint(f"e{n}")) for n in range(500))
        maker.refuse(["x"], more=1000)
        listing = maker.listing()
        assert len(listing.refused) == MAX_REFUSED
        assert listing.more_refused == 500 - MAX_REFUSED + 1001
    assert len(caplog.records) <= 101
    assert "no more of them are logged" in caplog.records[-1].message


def test_a_listing_counts_as_memory_of_its_request():
    budget = MemoryBudget(1_000_000)
    large = endpoint().with_service_settings(model_id="x" * 60_000)
    wide = endpoint().with_service_settings(model_id="x" * 15_000 + "\U0001f600")
    for one in (large, wide):
        with budget.request():
            ListingMaker(KEYS, None).add([KEYS.seal(one)])
            assert PER_BYTE * 60_000 <= budget.reserved < PER_BYTE * 65_000
        with budget.request(), pytest.raises(MemoryShort):
            ListingMaker(KEYS, None).add([KEYS.seal(one)] * 10)
