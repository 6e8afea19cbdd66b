"""What the notes of every store must do: a test class to be subclassed for each store."""

from __future__ import annotations

import asyncio

import pytest

from proxy.ground.errors import EndpointNotFound
from proxy.inference.ports import Store
from tests.support.storeconformance import Stored, endpoint

NAME = "task/hugging-face-proxy-1a2b:3"
SECRET = "the name of an index"


class NoteConformance:
    """Fixtures `store`, opened and empty, and `second`, opened beside it with the same key."""

    async def test_a_note_is_read_by_others(self, store: Store, second: Store):
        assert await second.notes.read(NAME) is None
        await store.notes.write(NAME, {"a": 1})
        assert await second.notes.read(NAME) == {"a": 1}
        await second.notes.write(NAME, {"b": [None]})
        assert await store.notes.all() == {NAME: {"b": [None]}}
        await store.notes.delete(NAME)
        await store.notes.delete(NAME)
        assert await second.notes.all() == {}

    async def test_changes_do_not_get_lost(self, store: Store, second: Store):
        await store.notes.write(NAME, {"count": 0})

        async def rise(one: Store) -> None:
            await one.notes.change(NAME, lambda there: {"count": there["count"] + 1})

        await asyncio.gather(*(rise(one) for one in (store, second, store, second)))
        assert await store.notes.read(NAME) == {"count": 4}
        assert await store.notes.change("task/none", lambda there: there) is None
        assert await store.notes.read("task/none") is None

    async def test_a_note_may_be_begun_by_the_first_who_changes_it(
        self, store: Store, second: Store
    ):
        async def rise(one: Store) -> None:
            await one.notes.change(
                NAME, lambda there: {"count": there["count"] + 1}, start={"count": 10}
            )

        await asyncio.gather(*(rise(one) for one in (store, second, store, second)))
        assert await store.notes.read(NAME) == {"count": 14}

    async def test_notes_and_endpoints_are_apart(self, store: Store, second: Store):
        await store.create(endpoint())
        await store.notes.write(NAME, {"a": 1})
        listing = await second.find()
        assert [one.inference_id for one in listing.endpoints] == ["e1"]
        assert (listing.refused, listing.more_refused) == ((), 0)
        assert await second.check() is None
        assert list(await store.notes.all()) == [NAME]
        for use in (store.get, store.delete):
            with pytest.raises(EndpointNotFound):
                await use(NAME)
        assert await store.notes.read("e1") is None

    async def test_a_note_cannot_be_read_or_made_by_others(self, store: Store, stored: Stored):
        await store.create(endpoint())
        await store.notes.write(NAME, {"description": SECRET})
        assert SECRET.encode() not in await stored.raw()

    async def test_notes_work_where_there_is_no_endpoint_yet(self, store: Store, second: Store):
        await store.notes.write(NAME, {"a": 1})
        await second.create(endpoint())
        assert (await store.get("e1")).endpoint == endpoint()
