"""Documents that are written while Elasticsearch comes back from a crash have their vectors."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from urllib.parse import quote

import orjson
import pytest

from proxy.modelserver.packages import cache_folder
from testbed.elasticsearch import RunningElasticsearch, start
from tests.support.layer import ENABLED, HIDDEN, MAPPINGS, Caller, put_endpoint
from tests.support.stubs import FaultyServer, contract_reply, in_thread

OFTEN = {"HFPROXY_SEMANTIC_REFRESH": "0.02"}  # seconds, so that every stage of it is looked at
LATER = frozenset((429, 502, 503, 504))
NAMES = ("recovery-index", "recovery-alias", "<recovery-{now/y{yyyy}}>")
# The state is not recovered for so long, as where nodes of a cluster are missing.
SLOWLY = {"gateway.expected_data_nodes": 2, "gateway.recover_after_time": "2s"}


class Node:
    """An Elasticsearch that keeps its data from one start to the next."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "data"
        self.running = self._start(0)

    def _start(self, port: int) -> RunningElasticsearch:
        return start(port=port, data=self._data, settings=SLOWLY, say=lambda _: None)

    def crash(self) -> None:
        self.running.kill()
        self.running.stop()

    def start_again(self) -> None:
        self.running = self._start(self.running.port)


@pytest.fixture
def node() -> Iterator[Node]:
    folder = Path(tempfile.mkdtemp(prefix="recovery-", dir=cache_folder()))
    folder.chmod(0o755)  # Elasticsearch runs as another user
    try:
        node = Node(folder)
        try:
            yield node
        finally:
            node.running.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Writer(threading.Thread):
    """Writes documents to one name until it is told to stop."""

    def __init__(self, proxy: Caller, name: str, *, is_bulk: bool) -> None:
        super().__init__(daemon=True)
        self.statuses: Counter[int] = Counter()
        self._proxy = proxy
        self._name = name
        self._is_bulk = is_bulk
        self._stop_asked = threading.Event()

    def run(self) -> None:
        while not self._stop_asked.wait(0.01):
            try:
                self.statuses.update(self._write())
            except (OSError, HTTPException):
                continue

    def stop(self) -> None:
        self._stop_asked.set()
        self.join()

    def _write(self) -> list[int]:
        document = {"body": "the tide comes back"}
        if not self._is_bulk:
            path = f"/{quote(self._name, safe='')}/_doc"
            return [self._proxy("POST", path, document).status]
        answer = self._proxy("POST", "/_bulk", [{"index": {"_index": self._name}}, document])
        if answer.status != 200:
            return [answer.status]
        return [item["index"]["status"] for item in orjson.loads(answer.content)["items"]]


def test_no_document_is_without_its_vectors(node, serve, tmp_path):
    url = node.running.url
    store = ("--store", f"sqlite:{tmp_path}/endpoints.db")
    with in_thread(FaultyServer(contract_reply)) as provider:
        before = Caller(serve(*store, upstream=url, env=ENABLED | OFTEN).url)
        put_endpoint(before, provider.url)
        body = {"mappings": MAPPINGS, "aliases": {"recovery-alias": {}}}
        before.ok("PUT", "/recovery-index", body)
        before.ok("PUT", f"/{quote(NAMES[-1], safe='')}", {"mappings": MAPPINGS})
        node.crash()
        # A proxy that has seen nothing of the cluster yet.
        after = Caller(serve(*store, upstream=url, env=ENABLED | OFTEN).url)
        writers = [
            Writer(proxy, name, is_bulk=is_bulk)
            for proxy in (before, after)
            for name in NAMES
            for is_bulk in (True, False)
        ]
        for writer in writers:
            writer.start()
        node.start_again()
        for writer in writers:
            writer.stop()
    direct = Caller(node.running.url)
    direct.ok("POST", "/recovery-*/_refresh")
    found = direct.ok("GET", "/recovery-*/_search?size=10000")["hits"]["hits"]
    assert len(found) >= len(writers)
    assert [hit["_id"] for hit in found if HIDDEN not in hit["_source"]] == []
    for writer in writers:
        assert writer.statuses.keys() <= LATER | {201}
        assert writer.statuses[201]
