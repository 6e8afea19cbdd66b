"""Requests about ingest pipelines: put, shown, deleted, tried out.

Source: PutPipelineTransportAction, SimulatePipelineTransportAction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from aiohttp import web

from proxy.errors import IllegalArgument, StatusError
from proxy.semantic.exchange import Exchange
from proxy.semantic.pipelines import TYPE, Config, Pipeline, Split, called, model_ids, shown, split
from proxy.semantic.processing import Runner, Task, is_processed

_CALLED: Final = (
    "pipeline [{caller}] cannot call pipeline [{called}], which has [inference] processors with an "
    "endpoint of the proxy"
)
_WHOLE: Final = (
    "ingest into [{index}] cannot be simulated: its pipelines have [inference] processors with an "
    "endpoint of the proxy"
)
_VERBOSE: Final = (
    "[verbose] is not possible for pipelines that have [inference] processors with an endpoint of "
    "the proxy"
)
_INLINE: Final = "/_ingest/pipeline/_simulate"
_NOTHING: Final[Config] = {"pipeline": {"processors": []}, "docs": [{"_source": {}}]}
_UNREADABLE: Final = (
    "the proxy cannot run [inference] processors: its user may not read pipelines, for which it "
    "needs [read_pipeline]"
)


async def put_pipeline(exchange: Exchange) -> web.StreamResponse:
    """Store a pipeline, its inference processors of ours beside it."""
    pipeline_id = exchange.names["id"]
    registry = exchange.parts.registry
    known = (await registry.known_pipelines()).known
    data = await exchange.read()
    if not known and TYPE.encode() not in data and b"\\u" not in data:
        return await exchange.hand_on()
    definition = await exchange.document()
    if not isinstance(definition, Mapping):
        return await exchange.hand_on()
    found = await _split(exchange, definition)
    ours = known.keys() | ({pipeline_id} if found is not None else set())
    for name in sorted(called(definition) & ours):
        raise IllegalArgument(_CALLED.format(caller=pipeline_id, called=name))
    if found is None:
        answer = await exchange.hand_on()
    else:
        await _check_callers(exchange, pipeline_id)
        asked = await exchange.ask(found.stored(definition))
        answer = await exchange.patched(asked, _same)
    if answer.status < 300:
        await registry.look()
    return answer


async def _check_callers(exchange: Exchange, pipeline_id: str) -> None:
    """Refuse a pipeline that others call already, as far as its caller may see them."""
    if not exchange.parts.registry.pipelines.is_readable:
        raise StatusError(503, _UNREADABLE)
    answer = await exchange.ask(method="GET", target="/_ingest/pipeline")
    stored = orjson.loads(answer.body) if answer.status == 200 else {}
    for caller in sorted(name for name, one in stored.items() if pipeline_id in called(one)):
        raise IllegalArgument(_CALLED.format(caller=caller, called=pipeline_id))


async def _split(exchange: Exchange, definition: Mapping[str, Any]) -> Split | None:
    """A definition taken apart; None where no processor is ours."""
    wanted = set(model_ids(definition))
    if not wanted:
        return None
    if await exchange.parts.registry.is_native():
        find = exchange.parts.endpoints.find
        wanted = {one for one in wanted if await find(one) is not None}
    return split(definition, wanted.__contains__)


async def get_pipelines(exchange: Exchange) -> web.StreamResponse:
    """Pipelines as they were put."""
    answer = await exchange.ask()

    def patch(document: dict[str, Any]) -> dict[str, Any]:
        return {pipeline_id: shown(stored) for pipeline_id, stored in document.items()}

    return await exchange.patched(answer, patch if answer.status < 300 else _same)


async def delete_pipeline(exchange: Exchange) -> web.StreamResponse:
    """Delete pipelines, and forget them at once."""
    answer = await exchange.hand_on()
    await exchange.parts.registry.look()
    return answer


async def change(exchange: Exchange) -> web.StreamResponse:
    """Hand on what may change which pipelines run, and know of it at once."""
    answer = await exchange.hand_on()
    registry = exchange.parts.registry
    if registry.snapshot.pipelines.known:
        await registry.look()
    return answer


async def simulate_pipeline(exchange: Exchange) -> web.StreamResponse:
    """Try out a pipeline, stored or of the request's own, on documents of the request's own."""
    body = await exchange.document()
    if not isinstance(body, Mapping):
        return await exchange.hand_on()
    pipeline: Pipeline | None = None
    inline: Config | None = None
    stored = exchange.names.get("id")
    definition = body.get("pipeline")
    if stored is not None:
        pipeline = (await exchange.parts.registry.known_pipelines()).known.get(stored)
    elif isinstance(definition, Mapping) and (found := await _split(exchange, definition)):
        pipeline = found.pipeline("", definition)
        inline = {**definition, "processors": found.rest}
    documents = _documents(body.get("docs"))
    if pipeline is None or not documents:
        return await exchange.hand_on()
    if exchange.rest.parameters.get("verbose") in ("", "true"):
        raise IllegalArgument(_VERBOSE)
    allowed = await exchange.ask(_NOTHING, target=_INLINE, method="POST")
    if allowed.status >= 300:  # before a provider is called
        return await exchange.patched(allowed, _same)
    return await _simulated(exchange, pipeline, inline, documents)


async def simulate_ingest(exchange: Exchange) -> web.StreamResponse:
    """Try out what indices do with documents: only where the upstream can do it all."""
    body = await exchange.document()
    documents = body.get("docs") if isinstance(body, Mapping) else None
    indices = {exchange.names.get("index")}
    for one in documents if isinstance(documents, list) else ():
        if isinstance(one, Mapping) and isinstance(one.get("_index"), str):
            indices.add(one["_index"])
    requested = exchange.rest.parameters.get("pipeline")
    for index in sorted(one for one in indices if one is not None):
        if await is_processed(exchange.parts.registry, index, requested):
            raise IllegalArgument(_WHOLE.format(index=index))
    return await exchange.hand_on()


def _same(document: Any) -> Any:
    return document


def _documents(value: Any) -> list[Config]:
    """Documents that all have a source; the upstream says what is wrong with others."""
    match value:
        case [*listed] if all(isinstance(one, dict) for one in listed):
            if all(isinstance(one.get("_source"), dict) for one in listed):
                return listed
    return []


async def _simulated(
    exchange: Exchange, pipeline: Pipeline, inline: Config | None, documents: list[Config]
) -> web.StreamResponse:
    """The answer for documents that go through a pipeline of ours."""
    runner = Runner(exchange.parts.upstream, exchange.parts.endpoints)
    tasks = [
        Task(data=orjson.dumps(one["_source"]), meta=dict(one), pipeline=pipeline)
        for one in documents
    ]
    await runner.before(tasks)
    left = [number for number, task in enumerate(tasks) if not (task.error or task.has_ended)]
    entries: dict[int, Any] = {}
    if left:
        body: Config = {
            "docs": [{**documents[one], "_source": _source(tasks[one])} for one in left]
        }
        if inline is not None:
            body["pipeline"] = inline
        answer = await exchange.ask(body, method="POST")
        if answer.status >= 300:
            return await exchange.patched(answer, _same)
        entries = dict(zip(left, orjson.loads(answer.body)["docs"], strict=True))
        await _end(runner, tasks, entries)
    shown_entries = [
        _entry(task, entries.get(number), documents[number]) for number, task in enumerate(tasks)
    ]
    return await exchange.made(200, {"docs": shown_entries})


async def _end(runner: Runner, tasks: Sequence[Task], entries: Mapping[int, Any]) -> None:
    """Run the processors at the end on what came of the rest."""
    ending = []
    for number, entry in entries.items():
        if entry is not None and "doc" in entry:
            tasks[number].data = orjson.dumps(entry["doc"]["_source"])
            ending.append(tasks[number])
    await runner.after(ending)


def _entry(task: Task, upstream: Any, document: Config) -> Any:
    """What came of a document; `upstream` is what the upstream said of it, if it was asked."""
    if task.error is not None:
        return {"error": task.error.envelope()["error"]}
    if upstream is not None and "doc" in upstream:
        return {"doc": {**upstream["doc"], "_source": _source(task)}}
    if not task.has_ended:
        return upstream
    meta = {name: document.get(name, name) for name in ("_index", "_id")}
    return {"doc": {**meta, "_version": "-3", "_source": _source(task)}}


def _source(task: Task) -> Any:
    return orjson.loads(task.data)
