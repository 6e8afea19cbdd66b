"""Sealing all records anew: the last step of a change of keys."""

from __future__ import annotations

from proxy.errors import StoreError
from proxy.inference.ids import list_ids
from proxy.inference.ports import EndpointStore


async def reseal(store: EndpointStore) -> int:
    """Seal every record with the current key; how many there were.

    Raises: StoreError if there are records that must not be used, after all others are sealed.
    """
    found = await store.find()
    count = len(found.endpoints)
    for endpoint in found.endpoints:
        await store.update(endpoint.inference_id, lambda current: current)
    if found.refused:
        raise StoreError(
            f"{count} endpoints are sealed with the current key, but {list_ids(found.refused)} are "
            "not, as their records cannot be used: GET one to see why, DELETE what is lost"
        )
    return count
