"""A listing, made of records that come page by page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from proxy.ground.errors import RecordRefused
from proxy.inference.endpoints import InferenceEndpoint, TaskType
from proxy.inference.ids import list_ids
from proxy.inference.ports import MAX_ENDPOINTS, MAX_REFUSED, Listing
from proxy.limits.memory import reserve
from proxy.store.footprint import bytes_of_texts
from proxy.store.sealed import Keyring, Record

# Bytes of memory that an endpoint takes until it has been sent, as measured: as an object, as a
# document, and as the text of the answer; and for each byte of its texts.
PER_ENDPOINT: Final = 1024
PER_BYTE: Final = 4


class ListingMaker:
    """Opens records, and counts what they take for the request under way."""

    def __init__(self, keys: Keyring, task_type: TaskType | None) -> None:
        self._keys = keys
        self._task_type = task_type
        self._endpoints: dict[str, InferenceEndpoint] = {}
        self._refused: set[str] = set()
        self._more_refused = 0

    @property
    def is_full(self) -> bool:
        return len(self._endpoints) >= MAX_ENDPOINTS

    def add(self, records: Iterable[Record]) -> None:
        """Those of one page; one that was changed meanwhile may come again. Raises: MemoryShort."""
        for record in records:
            try:
                endpoint = self._keys.open_(record)
            except RecordRefused:
                self.refuse([record.inference_id])
                continue
            if self._task_type not in (None, endpoint.task_type) or self.is_full:
                continue
            reserve(PER_ENDPOINT + PER_BYTE * bytes_of_texts(endpoint))
            self._endpoints[record.inference_id] = endpoint

    def refuse(self, ids: Iterable[str], more: int = 0) -> None:
        """Take note of records that no key opens, and of the number of `more` of them."""
        self._more_refused += more
        for one in ids:
            if one in self._refused or len(self._refused) < MAX_REFUSED:
                self._refused.add(one)
            else:
                self._more_refused += 1

    def listing(self, *, complete: bool = True) -> Listing:
        """All that came, unless there was more than a listing can have."""
        if self._refused:
            ids = list_ids(sorted(self._refused), unnamed=self._more_refused)
            self._keys.tell(f"the records of {ids} cannot be used, and are left out of lists")
        return Listing(
            sorted(self._endpoints.values(), key=lambda one: one.inference_id),
            tuple(sorted(self._refused)),
            self._more_refused,
            complete,
        )
