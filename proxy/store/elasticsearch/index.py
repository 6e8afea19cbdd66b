"""The index that holds the records: created, checked, and missed when somebody deletes it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from elasticsearch import AsyncElasticsearch, BadRequestError, NotFoundError

from proxy.ground.errors import EndpointNotFound, StoreMissing
from proxy.store.elasticsearch.answers import lacks_index, type_of
from proxy.store.elasticsearch.connection import Connection
from proxy.store.elasticsearch.failures import IndexUnavailable
from proxy.store.elasticsearch.mapping import FIELDS, MAPPINGS, SETTINGS, check_fields
from proxy.store.elasticsearch.transport import JSON

T = TypeVar("T")

_PAUSES: Final = (0.1, 0.2, 0.4, 0.8)  # seconds

log = logging.getLogger(__name__)


class IndexMissing(Exception):
    """There is no index. The documents catch it: callers see what it means for their call."""


class Index:
    """Whether there is an index, and whether there was one before."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.name = connection.index
        self.found = False  # by the last call
        self.deletions = 0  # how often it was missing after it had been found
        self._is_deleted = False

    async def exists(self) -> bool:
        """Whether there is an index. Raises: StoreDamaged for one that the proxy did not make."""
        return await patiently(self._look)

    async def create(self) -> None:
        """Make the index, unless another proxy does so at the same time."""
        async with self._connection.calling() as client:
            try:
                await client.indices.create(
                    index=self.name,
                    settings=SETTINGS,
                    mappings=MAPPINGS,
                    timeout=self._connection.server_timeout,
                    master_timeout=self._connection.server_timeout,
                )
            except BadRequestError as error:
                if type_of(error) != "resource_already_exists_exception":
                    raise self._connection.failures.not_created(error) from None
        self._note_found()

    @asynccontextmanager
    async def calling(self) -> AsyncIterator[AsyncElasticsearch]:
        """The client, for one call about the index. Raises: IndexMissing."""
        found_before = self.found
        async with self._connection.calling() as client:
            try:
                yield client
            except NotFoundError as error:
                if not lacks_index(error):
                    raise
                self.note_missing(found_before)
                raise IndexMissing from None

    def note_missing(self, found_before: bool) -> None:
        """Take note of an answer that there is no index.

        `found_before` is what `found` was when the question was asked: if it was not, another call
        may have made the first index only after that.
        """
        if found_before and self.found:
            log.error(_deleted(self.name))
            self.found, self._is_deleted = False, True
            self.deletions += 1

    def not_found(self, inference_id: str) -> EndpointNotFound:
        """The error for an endpoint when there is no index."""
        return StoreMissing(inference_id, self.loss)

    @property
    def loss(self) -> str | None:
        """What has happened, if an index that was there is gone."""
        return _deleted(self.name) if self._is_deleted else None

    async def _look(self) -> bool:
        try:
            async with self.calling() as client:
                # The client's own method sends the fields in a body, where 7.17 ignores them.
                answer = await client.perform_request(
                    "GET",
                    f"{self._connection.path}/_field_caps",
                    params={"fields": ",".join(FIELDS)},
                    headers={"accept": JSON},
                )
        except IndexMissing:
            return False
        check_fields(answer.body, self.name)
        self._note_found()
        return True

    def _note_found(self) -> None:
        self.found, self._is_deleted = True, False


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """What `ask` returns; it is asked again while another proxy makes the index."""
    for pause in _PAUSES:
        try:
            return await ask()
        except IndexUnavailable:
            await asyncio.sleep(pause)
    return await ask()


def _deleted(index: str) -> str:
    return (
        f"the index [{index}] is gone, and all inference endpoints with it: restore it from a "
        "snapshot, or create them again"
    )
