"""Sealing all records anew: the last step of a change of keys."""

from __future__ import annotations

from proxy.ground.errors import StoreError
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
    if not found.complete:
        raise StoreError(
            f"{count} endpoints are sealed with the current key, but the store holds more than one "
            "listing can have: delete some, and try again"
        )
    if found.refused:
        refused = list_ids(found.refused, unnamed=found.more_refused)
        raise StoreError(
            f"{count} endpoints are sealed with the current key, but {refused} are not, as their "
            "records cannot be used: GET one to see why, DELETE what is lost"
        )
    return count
