"""`_update` with a script: the Elasticsearch of the tests has none, so this one is played."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from proxy.ground.errors import ProxyError, StatusError
from proxy.inference.endpoints import InferenceEndpoint, SecretSettings, ServiceSettings, TaskType
from proxy.semantic.bulk import Item
from proxy.semantic.fields import SemanticField
from proxy.semantic.modelsettings import DenseModel
from proxy.semantic.scripts import update_by_script
from proxy.semantic.targets import WriteTarget
from proxy.semantic.writer import Refused
from proxy.telemetry.endpoints import Endpoints as Figures
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.semantic import SemanticMetrics
from proxy.xcontent.numbers import Numbers

MODEL = DenseModel(dimensions=1, similarity="cosine")
DOCUMENT = {"_index": "a", "_id": "1"}
FIELDS = {
    "f": SemanticField(
        path="f",
        definition={"inference_id": "i"},
        number=1,
        model=MODEL,
        seen=True,
        sources=("f", "g"),
    )
}
Script = Callable[[dict[str, Any] | None], dict[str, Any] | None]


class Played:
    """An Elasticsearch with one document, and one script."""

    def __init__(
        self, source: dict[str, Any] | None, script: Script, *, conflicts: int = 0
    ) -> None:
        self.source = source
        self.conflicts = conflicts
        self.refused: int | None = None  # the status of all reads
        self.version = 1
        self.writes: list[str] = []
        self._script = script

    async def ask_as_caller(
        self, _: object, method: str, target: str, body: bytes | list[bytes] = b""
    ) -> Any:
        if method == "GET":
            return self._get()
        assert target == "/_bulk?refresh=true"
        assert isinstance(body, bytes)
        action, _, source = body.partition(b"\n")
        return SimpleNamespace(
            status=200, body=orjson.dumps({"items": [self._write(action, source)]})
        )

    def _get(self) -> Any:
        if self.refused is not None:
            return SimpleNamespace(status=self.refused, body=b"{}")
        if self.source is None:
            return SimpleNamespace(status=404, body=b'{"found":false}')
        document = {"_seq_no": self.version, "_primary_term": 1, "_source": self.source}
        return SimpleNamespace(status=200, body=orjson.dumps(document))

    def _write(self, action: bytes, source: bytes) -> dict[str, Any]:
        ((name, meta),) = orjson.loads(action).items()
        self.writes.append(name)
        if "if_seq_no" in meta:
            if self.conflicts:
                self.conflicts -= 1
                self.version += 1
                return {name: {"_index": "a", "status": 409, "error": {"type": "conflict"}}}
            assert meta["if_seq_no"] == self.version
        existed = self.source is not None
        result = "updated" if existed else "created"
        if name == "index":
            self.source = orjson.loads(source)
        elif name == "delete":
            self.source = None
        elif "script" in (body := orjson.loads(source)):
            made = self._script(self.source)
            result = "noop" if made == self.source else result
            self.source = made
        else:
            assert self.source is not None
            self.source = {**self.source, **body["doc"]}
        self.version += 1
        numbers = {"_version": self.version, "_seq_no": self.version, "_primary_term": 1}
        return {name: {**DOCUMENT, "status": 200, "result": result, **numbers}}


class Endpoints:
    def __init__(self, error: ProxyError | None = None) -> None:
        self.texts: list[str] = []
        self.asked, self.ready = asyncio.Event(), asyncio.Event()
        self.ready.set()
        self._error = error

    async def find(self, inference_id: str) -> InferenceEndpoint:
        return InferenceEndpoint(
            inference_id=inference_id,
            task_type=TaskType.TEXT_EMBEDDING,
            service_settings=ServiceSettings(url="http://127.0.0.1:1", dimensions=1),
            secret_settings=SecretSettings(api_key="k"),
        )

    async def completed(self, endpoint: InferenceEndpoint) -> InferenceEndpoint:
        return endpoint

    async def embed(self, _: object, texts: list[str], *__: object) -> list[Numbers]:
        self.asked.set()
        await self.ready.wait()
        if self._error is not None:
            raise self._error
        self.texts.extend(texts)
        return [Numbers.of([len(text)]) for text in texts]


async def _run(upstream: Played, endpoints: Endpoints) -> Any:
    parts = SimpleNamespace(
        upstream=upstream, document_endpoints=endpoints, metrics=SemanticMetrics(Metrics(Figures()))
    )
    exchange: Any = SimpleNamespace(parts=parts, request=None)
    item = Item(
        action="update",
        meta={"_index": "a", "_id": "1"},
        action_line=b'{"update":{"_index":"a","_id":"1"}}',
        source=b'{"script":{"source":"x"}}',
    )
    target = WriteTarget(index="a", fields=FIELDS)
    parameters = {"refresh": "true", "filter_path": "_id", "format": "yaml"}
    return await update_by_script(exchange, item, target, parameters)


def _chunk(source: str, end: int, vector: float) -> dict[str, Any]:
    return {"field": source, "start": 0, "end": end, "embeddings": [vector]}


BEFORE = {
    "f": "old",
    "g": "same",
    "xinf": {"f": {"chunks": [_chunk("f", 3, 3.0), _chunk("g", 4, 9.5)]}},
}


async def test_only_what_a_script_has_changed_is_embedded() -> None:
    upstream, endpoints = Played(BEFORE, lambda was: {**(was or {}), "f": "newer"}), Endpoints()
    answer = await _run(upstream, endpoints)
    numbers = {"_version": 3, "_seq_no": 3, "_primary_term": 1}
    assert answer["update"] == {**DOCUMENT, "status": 200, "result": "updated", **numbers}
    assert endpoints.texts == ["newer"]
    assert upstream.source is not None
    assert upstream.source["xinf"]["f"]["chunks"] == [_chunk("g", 4, 9.5), _chunk("f", 5, 5.0)]


@pytest.mark.parametrize("made", [BEFORE, {**BEFORE, "n": 1}])
async def test_scripts_that_change_no_text_cost_nothing(made: dict[str, Any]) -> None:
    upstream, endpoints = Played(BEFORE, lambda _: made), Endpoints()
    await _run(upstream, endpoints)
    assert endpoints.texts == []
    assert upstream.writes == ["update"]


async def test_what_a_script_takes_away_loses_its_vectors() -> None:
    def script(was: dict[str, Any] | None) -> dict[str, Any]:
        return {key: value for key, value in (was or {}).items() if key != "g"}

    upstream = Played(BEFORE, script)
    await _run(upstream, Endpoints())
    assert upstream.source is not None
    assert upstream.source["xinf"]["f"]["chunks"] == [_chunk("f", 3, 3.0)]


async def test_documents_that_a_script_makes_get_vectors() -> None:
    upstream = Played(None, lambda _: {"f": "made"})
    answer = await _run(upstream, Endpoints())
    assert answer["update"]["result"] == "created"
    assert upstream.source is not None
    assert upstream.source["xinf"]["f"]["chunks"] == [_chunk("f", 4, 4.0)]


@pytest.mark.parametrize("before", [BEFORE, None])
async def test_a_text_that_cannot_be_embedded_undoes_the_script(
    before: dict[str, Any] | None,
) -> None:
    upstream = Played(before, lambda was: {**(was or {}), "f": "newer"})
    with pytest.raises(ProxyError, match="Exception when running inference id"):
        await _run(upstream, Endpoints(StatusError(429, "no")))
    assert upstream.source == before


async def test_what_a_script_has_changed_is_embedded_although_its_caller_leaves() -> None:
    upstream, endpoints = Played(BEFORE, lambda was: {**(was or {}), "f": "newer"}), Endpoints()
    endpoints.ready.clear()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(_run(upstream, endpoints))
        await endpoints.asked.wait()
        running.cancel()
        await asyncio.sleep(0)
        endpoints.ready.set()
    assert running.cancelled()
    assert upstream.source is not None
    assert _chunk("f", 5, 5.0) in upstream.source["xinf"]["f"]["chunks"]


async def test_others_may_change_the_document_meanwhile() -> None:
    upstream = Played(BEFORE, lambda was: {**(was or {}), "f": "newer"}, conflicts=2)
    answer = await _run(upstream, Endpoints())
    assert not isinstance(answer, Refused)
    assert upstream.writes == ["update"] * 4
    assert upstream.source is not None
    assert _chunk("f", 5, 5.0) in upstream.source["xinf"]["f"]["chunks"]


@pytest.mark.parametrize(("status", "told"), [(403, 403), (503, 503), (429, 503), (200, 503)])
async def test_a_script_does_not_run_where_its_outcome_cannot_be_read(status, told) -> None:
    upstream = Played(BEFORE, lambda was: {**(was or {}), "f": "newer"})
    upstream.refused = status
    with pytest.raises(ProxyError) as caught:
        await _run(upstream, Endpoints())
    assert caught.value.status == told
    assert upstream.source == BEFORE
