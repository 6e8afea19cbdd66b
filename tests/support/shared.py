"""The Elasticsearch clusters that all tests share, started once for all pytest processes.

The main process owns them. The workers that pytest-xdist starts ask it for their addresses.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from threading import Lock, Thread
from typing import Final, Protocol

from testbed.elasticsearch import Elasticsearch, RunningElasticsearch, start
from tests.support.processes import ELASTICSEARCH_PORTS
from tests.support.users import ROLES, USERS

OPEN: Final = "elasticsearch"  # these are named like their fixtures
SECURED: Final = "secured_elasticsearch"
STOCK: Final = "stock_elasticsearch"
MEMORY: Final = Path("/dev/shm")  # a file system in memory, on Linux
ROOM: Final = 2 << 30  # bytes


class Clusters(Protocol):
    """Clusters by name: OPEN, SECURED, STOCK, or a version (without security)."""

    def prepare(self, names: Sequence[str]) -> None:
        """Begin to start those that have not been started yet, in this order; does not wait."""

    def get(self, name: str) -> Elasticsearch:
        """A running one, started if need be. Raises: JavaMissing, PackageError, StartFailed."""


class OwnClusters:
    """Clusters of this process; `close` stops them."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(
            2
        )  # the first ones are ready sooner than if all began at once
        self._lock = Lock()
        self._starting: dict[str, Future[RunningElasticsearch]] = {}
        self._data = memory_folder()

    def prepare(self, names: Sequence[str]) -> None:
        with self._lock:
            for name in [name for name in names if name not in self._starting]:
                data = None if self._data is None else self._data / name
                self._starting[name] = self._pool.submit(_start, name, data)

    def get(self, name: str) -> Elasticsearch:
        self.prepare([name])
        running = self._starting[name].result()
        ELASTICSEARCH_PORTS.add(running.port)
        return Elasticsearch(
            url=running.url,
            version=running.version,
            log=running.log,
            pid=running.pid,
            data=running.data,
            authority=running.authority,
        )

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        for future in self._starting.values():
            if not future.cancelled() and future.exception() is None:
                future.result().stop()
        if self._data is not None:
            shutil.rmtree(self._data, ignore_errors=True)


def memory_folder() -> Path | None:
    """A new folder in memory, if there is room: what a disk has to confirm takes several times as
    long, above all to make an index.
    """
    if not os.access(MEMORY, os.W_OK) or shutil.disk_usage(MEMORY).free < ROOM:
        return None
    folder = Path(tempfile.mkdtemp(dir=MEMORY, prefix="elasticsearch-"))
    folder.chmod(0o711)  # Elasticsearch runs as another user under root
    return folder


def _start(name: str, data: Path | None) -> RunningElasticsearch:
    if name == OPEN:
        return start(processors=True, data=data, say=_ignore)
    if name == SECURED:
        return start(secured=True, users=USERS, roles=ROLES, data=data, say=_ignore)
    if name == STOCK:
        return start(stock=True, users=USERS, roles=ROLES, data=data, say=_ignore)
    return start(version=name, data=data, say=_ignore)


def _ignore(_: str) -> None:
    """Progress messages are of no interest; failures are raised."""


class ClusterServer:
    """Lets other processes use the clusters of this one, over a Unix socket."""

    def __init__(self, clusters: OwnClusters) -> None:
        self._clusters = clusters
        self._listener = Listener(family="AF_UNIX")
        Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return str(self._listener.address)

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except OSError:
                return  # closed
            Thread(target=self._answer, args=[connection], daemon=True).start()

    def _answer(self, connection: Connection) -> None:
        """Answer one request: a list of names to prepare, or the name of a cluster to get."""
        with connection:
            asked: list[str] | str = connection.recv()
            if isinstance(asked, list):
                self._clusters.prepare(asked)
                return
            try:
                connection.send(self._clusters.get(asked))
            except Exception as error:
                connection.send(error)


class RemoteClusters:
    """The clusters of the process whose ClusterServer is at `address`."""

    def __init__(self, address: str) -> None:
        self._address = address

    def prepare(self, names: Sequence[str]) -> None:
        with Client(self._address, family="AF_UNIX") as connection:
            connection.send(list(names))

    def get(self, name: str) -> Elasticsearch:
        with Client(self._address, family="AF_UNIX") as connection:
            connection.send(name)
            answer: Elasticsearch | Exception = connection.recv()
        if isinstance(answer, Exception):
            raise answer
        ELASTICSEARCH_PORTS.add(answer.port)
        return answer
