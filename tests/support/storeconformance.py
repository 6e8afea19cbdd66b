"""What every endpoint store must do: a test class to be subclassed for each store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import suppress
from dataclasses import replace

import pytest

from proxy.ground.errors import (
    ActionRequestInvalid,
    EndpointAlreadyExists,
    EndpointNotFound,
    RecordRefused,
    StatusError,
    StoreError,
    ValidationFailed,
)
from proxy.inference.chunking import ChunkingSettings
from proxy.inference.dumping import MAX_STORED_BYTES
from proxy.inference.endpoints import (
    InferenceEndpoint,
    SecretSettings,
    ServiceSettings,
    TaskSettings,
    TaskType,
)
from proxy.inference.ids import MAX_ID_BYTES
from proxy.inference.ports import EndpointStore, Known, Listing
from proxy.store.cached import PAUSE, CachedStore
from proxy.store.resealing import reseal
from proxy.store.sealed import FORMAT
from tests.support.clock import Clock

TOKEN = "hf_a-token-that-must-not-be-seen"


def endpoint(
    inference_id: str = "e1",
    task_type: TaskType = TaskType.TEXT_EMBEDDING,
    *,
    url: str = "http://127.0.0.1:8080/embed",
    token: str = TOKEN,
) -> InferenceEndpoint:
    return InferenceEndpoint(
        inference_id=inference_id,
        task_type=task_type,
        service_settings=ServiceSettings(url=url, dimensions=384, similarity="cosine"),
        secret_settings=SecretSettings(api_key=token),
    )


def with_token(token: str):
    return lambda old: replace(old, secret_settings=SecretSettings(api_key=token))


# A store that fails, behind a cache; the endpoint `e1` is in both


def changes(store: EndpointStore) -> Iterator[Awaitable[object]]:
    yield store.create(endpoint("e2"))
    yield store.update("e1", with_token("new"))
    yield store.delete("e1")


async def assert_fails(
    call: Awaitable[object], kind: type[StoreError], status: int, text: str
) -> None:
    with pytest.raises(kind, match=text) as error:
        await call
    assert error.value.status == status
    assert error.value.type == "status_exception"
    retry_after = [value for name, value in error.value.headers if name == "Retry-After"]
    assert bool(retry_after) == (status == 429)
    assert TOKEN not in str(error.value)


async def assert_unusable(
    store: CachedStore, kind: type[StoreError], status: int, text: str
) -> None:
    """Whatever needs the store fails like this, and `e1` is used as it is remembered."""
    for call in (store.get("e2"), store.find(), *changes(store)):
        await assert_fails(call, kind, status, text)
    assert await store.get("e1") == Known(endpoint(), stale=True)


async def assert_read_only(
    store: CachedStore, kind: type[StoreError], status: int, text: str
) -> None:
    """Changes fail like this, and reads succeed."""
    for change in changes(store):
        await assert_fails(change, kind, status, text)
    assert await store.get("e1") == Known(endpoint())
    assert await store.find() == Listing([endpoint()])


class Remembering(CachedStore):
    """A store behind a cache that asks it every time, and does not age."""

    def __init__(self, inner: EndpointStore) -> None:
        self.clock = Clock()
        super().__init__(inner, freshness=0.0, clock=self.clock)


async def as_a_proxy_has_it(inner: EndpointStore) -> Remembering:
    """The store behind its cache, which the endpoint `e1` is in."""
    store = Remembering(inner)
    await store.get("e1")
    return store


async def assert_usable(store: Remembering) -> None:
    """Without a restart, as it was before."""
    store.clock.now += PAUSE
    assert await store.get("e1") == Known(endpoint())
    await store.create(endpoint("e3"))


class Stored:
    """What lies in a store, read and changed by others than the store."""

    async def raw(self) -> bytes:
        """Everything that is stored, in one piece."""
        raise NotImplementedError

    async def copy(self, source: str, target: str) -> None:
        """Replace the record of `target` by the one of `source`."""
        raise NotImplementedError

    async def rewrite(self, inference_id: str, **fields: object) -> None:
        """Change fields of a record: `task_type`, `key_id`, `blob` (bytes)."""
        raise NotImplementedError

    async def blob(self, inference_id: str) -> bytes:
        raise NotImplementedError


class StoreConformance:
    """Subclasses bring the fixtures `store`, `second` (another process's) and `stored`."""

    async def test_what_was_created_is_read_back_whole(self, store: EndpointStore):
        full = replace(
            endpoint(task_type=TaskType.RERANK),
            task_settings=TaskSettings(top_n=3, return_documents=False),
            chunking_settings=ChunkingSettings(strategy="none"),
        )
        await store.create(full)
        assert await store.get("e1") == Known(full)
        assert await store.find() == Listing([full])

    async def test_an_id_is_created_once_whatever_its_task(self, store, second):
        await store.create(endpoint())
        for other in (store, second):
            with pytest.raises(EndpointAlreadyExists, match=r"\[e1\] already exists"):
                await other.create(endpoint(task_type=TaskType.COMPLETION))
        assert (await store.get("e1")).endpoint.task_type is TaskType.TEXT_EMBEDDING

    async def test_unknown_ids_are_not_found(self, store):
        await store.create(endpoint())
        unknown = ["e2", "E1", "", ".", "..", "a/b", "e1?x", "*", "_all", "e1,e2", "é", "\udcff"]
        for inference_id in [*unknown, "x" * 600]:
            with pytest.raises(EndpointNotFound):
                await store.get(inference_id)
            with pytest.raises(EndpointNotFound):
                await store.delete(inference_id)
            with pytest.raises(EndpointNotFound):
                await store.update(inference_id, lambda old: old)
        assert await store.get("e1")

    async def test_an_empty_store_has_nothing(self, store):
        assert await store.find() == Listing([])
        with pytest.raises(EndpointNotFound, match=r"Inference endpoint not found \[e1\]"):
            await store.get("e1")

    async def test_lists_are_sorted_by_id_and_show_every_change_at_once(self, store, second):
        ids = ["b", "a", "c-1", "c", "c_1", "c.1", "10", "9"]
        for inference_id in ids:
            await store.create(endpoint(inference_id))
        assert [found.inference_id for found in (await second.find()).endpoints] == sorted(ids)
        await store.delete("a")
        await store.create(endpoint("z", TaskType.RERANK))
        await store.update("b", lambda old: old.with_service_settings(url="http://new/"))
        found = {one.inference_id: one for one in (await second.find()).endpoints}
        assert sorted(found) == sorted([*ids[:1], *ids[2:], "z"])
        assert found["b"].service_settings.url == "http://new/"
        assert [one.inference_id for one in (await second.find(TaskType.RERANK)).endpoints] == ["z"]
        assert await second.find(TaskType.COMPLETION) == Listing([])

    async def test_ids_can_be_as_long_as_elasticsearch_takes_them(self, store):
        longest = "x" * MAX_ID_BYTES
        await store.create(endpoint(longest))
        assert (await store.get(longest)).endpoint.inference_id == longest
        with pytest.raises(ActionRequestInvalid, match="too long, must be no longer than 506") as e:
            await store.create(endpoint(longest + "x"))
        assert e.value.status == 400

    @pytest.mark.parametrize("model_id", ["\ud800", "x" * MAX_STORED_BYTES], ids=["odd", "large"])
    async def test_settings_that_cannot_be_stored_are_the_callers_mistake(self, store, model_id):
        def changed(old: InferenceEndpoint) -> InferenceEndpoint:
            return old.with_service_settings(model_id=model_id)

        with pytest.raises(ValidationFailed, match="the settings "):
            await store.create(changed(endpoint("e1")))
        await store.create(endpoint("e1"))
        with pytest.raises(ValidationFailed, match="the settings "):
            await store.update("e1", changed)
        assert (await store.get("e1")).endpoint == endpoint("e1")

    async def test_a_text_may_hold_nul(self, store):
        await store.create(endpoint("e1").with_service_settings(model_id="a\0b"))
        assert (await store.get("e1")).endpoint.service_settings.model_id == "a\0b"

    async def test_a_change_is_read_by_others(self, store, second):
        await store.create(endpoint())
        changed = await store.update("e1", with_token("new"))
        assert changed.secret_settings.api_key == "new"
        assert await second.get("e1") == Known(changed)
        await second.delete("e1")
        with pytest.raises(EndpointNotFound):
            await store.get("e1")

    async def test_a_change_that_fails_changes_nothing(self, store):
        await store.create(endpoint())

        def fail(_: InferenceEndpoint) -> InferenceEndpoint:
            raise StatusError(400, "no")

        with pytest.raises(StatusError, match="no"):
            await store.update("e1", fail)
        assert await store.get("e1") == Known(endpoint())
        await store.update("e1", with_token("new"))

    async def test_a_deleted_id_can_be_created_again(self, store):
        await store.create(endpoint())
        await store.delete("e1")
        with pytest.raises(EndpointNotFound):
            await store.delete("e1")
        await store.create(endpoint(task_type=TaskType.COMPLETION))
        assert (await store.get("e1")).endpoint.task_type is TaskType.COMPLETION

    async def test_of_many_creates_one_wins(self, store, second):
        tries = [(store, second)[n % 2].create(endpoint(url=f"http://h/{n}")) for n in range(12)]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        winners = [n for n, outcome in enumerate(outcomes) if outcome is None]
        assert len(winners) == 1
        assert all(isinstance(o, EndpointAlreadyExists) for o in outcomes if o is not None)
        assert (await store.get("e1")).endpoint.service_settings.url == f"http://h/{winners[0]}"

    async def test_no_change_is_lost_when_two_come_together(self, store, second):
        await store.create(endpoint(url="http://h/"))

        def add(letter: str):
            return lambda old: old.with_service_settings(url=old.service_settings.url + letter)

        await asyncio.gather(store.update("e1", add("a")), second.update("e1", add("b")))
        assert sorted((await store.get("e1")).endpoint.service_settings.url[9:]) == ["a", "b"]

    async def test_a_caller_who_leaves_leaves_no_half_change(self, store, second):
        await store.create(endpoint("other"))  # which also makes the index
        await asyncio.gather(*(self._cancelled_create(store, n) for n in range(8)))
        for n in range(8):  # the writes may still be under way
            with suppress(EndpointAlreadyExists):
                await second.create(endpoint(f"e{n}"))
            assert await second.get(f"e{n}") == Known(endpoint(f"e{n}"))

    async def _cancelled_create(self, store: EndpointStore, n: int) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(n / 4000):
                await store.create(endpoint(f"e{n}"))

    async def test_nothing_is_stored_in_plain(self, store, stored):
        await store.create(endpoint())
        await store.update("e1", with_token("second-" + TOKEN))
        raw = await stored.raw()
        assert b"e1" in raw
        for secret in (TOKEN, "127.0.0.1", "embed\x00", "api_key"):
            assert secret.encode() not in raw
            assert secret.encode().hex().encode() not in raw

    async def test_a_record_under_another_id_is_refused(self, store, stored):
        await store.create(endpoint("mine"))
        await store.create(endpoint("yours"))
        await stored.copy("mine", "yours")
        await self._is_refused(store, stored, "yours")
        assert await store.get("mine") == Known(endpoint("mine"))
        assert await store.find() == Listing([endpoint("mine")], refused=("yours",))
        with pytest.raises(StoreError, match=r"1 endpoints are sealed .* but \[yours\] are not"):
            await reseal(store)

    async def test_a_changed_record_is_refused(self, store, stored):
        await store.create(endpoint())
        blob = await stored.blob("e1")
        for at in (0, 1, 9, 21, 30, len(blob) - 1):
            await stored.rewrite("e1", blob=blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :])
            with pytest.raises(RecordRefused, match=r"\[e1\] cannot be used"):
                await store.get("e1")
        for cut in (b"", blob[:1], blob[:20], blob[:-1]):
            await stored.rewrite("e1", blob=cut)
            await self._is_refused(store, stored, "e1")
        await stored.rewrite("e1", blob=blob)
        assert await store.get("e1") == Known(endpoint())
        await stored.rewrite("e1", task_type="rerank")
        await self._is_refused(store, stored, "e1")
        await stored.rewrite("e1", task_type="text_embedding", key_id="0" * 16)
        await self._is_refused(store, stored, "e1")

    async def _is_refused(
        self, store: EndpointStore, stored: Stored, inference_id: str, text: str = "changed by"
    ) -> None:
        """The record is neither used nor overwritten, and does not keep the store from opening."""
        before = await stored.blob(inference_id)
        await store.close()
        await store.open()
        for call in (store.get(inference_id), store.update(inference_id, lambda old: old)):
            with pytest.raises(RecordRefused, match=text) as refused:
                await call
            assert refused.value.status == 500
        with pytest.raises(EndpointAlreadyExists):
            await store.create(endpoint(inference_id))
        for task_type in (None, TaskType.TEXT_EMBEDDING, TaskType.RERANK):
            found = await store.find(task_type)
            assert inference_id not in [one.inference_id for one in found.endpoints]
            assert found.refused == (inference_id,)
        assert await stored.blob(inference_id) == before

    async def test_a_record_of_a_newer_format_is_refused(self, store, stored):
        await store.create(endpoint())
        blob = await stored.blob("e1")
        await stored.rewrite("e1", blob=bytes([FORMAT + 1]) + blob[1:])
        newer = rf"format {FORMAT + 1}, which is newer than this proxy. Upgrade the proxy"
        await self._is_refused(store, stored, "e1", newer)
        await store.delete("e1")
        await store.create(endpoint())

    async def test_a_refused_record_can_be_deleted(self, store, stored):
        await store.create(endpoint())
        await stored.rewrite("e1", blob=b"\1nonsense")
        await self._is_refused(store, stored, "e1")
        await store.delete("e1")
        await store.create(endpoint())
        assert await store.get("e1") == Known(endpoint())

    async def test_a_check_tells_whether_endpoints_can_be_used(self, store, stored):
        assert await store.check() is None
        for name in ("a", "b"):
            await store.create(endpoint(name))
        assert await store.check() is None
        await stored.rewrite("a", blob=b"\1nonsense")
        assert "cannot be used" in (await store.check() or "")
        await stored.rewrite("b", blob=b"\1nonsense")
        with pytest.raises(StoreError, match="cannot be used"):
            await store.check()

    async def test_resealing_writes_every_record_anew(self, store, stored):
        await store.create(endpoint("a"))
        await store.create(endpoint("b"))
        before = [await stored.blob("a"), await stored.blob("b")]
        assert await reseal(store) == 2
        after = [await stored.blob("a"), await stored.blob("b")]
        assert before[0] != after[0]
        assert before[1] != after[1]
        assert await store.find() == Listing([endpoint("a"), endpoint("b")])
