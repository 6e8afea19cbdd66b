"""All records are sealed anew, or it is told which are not."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.ground.errors import StoreError
from proxy.inference.ports import Listing
from proxy.store.resealing import reseal
from tests.support.samples import make_endpoint


class Store:
    def __init__(self, **more: Any) -> None:
        self.listing = Listing([make_endpoint(inference_id=one) for one in ("a", "b")], **more)
        self.updated: list[str] = []

    async def find(self) -> Listing:
        return self.listing

    async def update(self, inference_id: str, change: Any) -> None:
        self.updated.append(inference_id)


async def resealed(store: Any) -> int:
    return await reseal(store)


async def test_every_endpoint_is_written_again():
    store = Store()
    assert await resealed(store) == 2
    assert store.updated == ["a", "b"]


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"refused": ("x",)}, "2 endpoints are sealed with the current key, but [x] are not"),
        ({"complete": False}, "holds more than one listing can have"),
    ],
)
async def test_what_is_left_is_told_after_the_rest_is_done(more: Any, text: str):
    store = Store(**more)
    with pytest.raises(StoreError) as caught:
        await resealed(store)
    assert text in caught.value.reason
    assert store.updated == ["a", "b"]
