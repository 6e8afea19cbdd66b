"""Requests about ingest pipelines: put, shown, tried out.

Source: PutPipelineTransportAction, SimulatePipelineTransportAction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiohttp import web

from proxy.ground.errors import IllegalArgument, StatusError
from proxy.semantic.answerjson import listed_in, with_sources
from proxy.semantic.exchange import Exchange
from proxy.semantic.ingest.processors import Passage, Runner
from proxy.semantic.ingest.simulating import INLINE, Draft, meta_of
from proxy.semantic.mappings import declared_everywhere
from proxy.semantic.pipelines import TYPE, Config, Pipeline, Split, called, model_ids, shown, split
from proxy.semantic.targets import write_target
from proxy.semantic.told import told_or_nothing
from proxy.xcontent.loading import load_json
from proxy.xcontent.writing import dump_json

_CALLED: Final = (
    "pipeline [{caller}] cannot call pipeline [{called}], which has [inference] processors with an "
    "endpoint of the proxy"
)
_INGEST: Final = (
    "ingest into [{index}] cannot be simulated: its pipelines have [inference] processors with an "
    "endpoint of the proxy"
)
_VERBOSE: Final = (
    "[verbose] is not possible for pipelines that have [inference] processors with an endpoint of "
    "the proxy"
)
_NOTHING: Final[Config] = {"pipeline": {"processors": []}, "docs": [{"_source": {}}]}
_UNREADABLE: Final = (
    "the proxy cannot run [inference] processors: its user may not read pipelines, for which it "
    "needs [read_pipeline]"
)


async def put_pipeline(exchange: Exchange) -> web.StreamResponse:
    """Store a pipeline, its inference processors of ours beside it."""
    pipeline_id = exchange.names["id"]
    known = await exchange.parts.registry.pipelines()
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
        return await exchange.hand_on()
    await _check_callers(exchange, pipeline_id)
    return await exchange.as_is(await exchange.ask(found.stored(definition)))


async def _check_callers(exchange: Exchange, pipeline_id: str) -> None:
    """Refuse a pipeline that others call already, as far as its caller may see them."""
    if not exchange.parts.registry.stored_pipelines.is_readable:
        raise StatusError(503, _UNREADABLE)
    answer = await exchange.ask(method="GET", target="/_ingest/pipeline")
    stored = told_or_nothing(answer)
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

    def patch(document: dict[str, Any]) -> dict[str, Any]:
        return {pipeline_id: shown(stored) for pipeline_id, stored in document.items()}

    return await exchange.shown(patch)


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
        pipeline = (await exchange.parts.registry.pipelines()).get(stored)
    elif isinstance(definition, Mapping) and (found := await _split(exchange, definition)):
        pipeline = found.pipeline("_simulate_pipeline", definition)
        inline = {**definition, "processors": found.rest}
    documents = _documents(body.get("docs"))
    if pipeline is None or not documents:
        return await exchange.hand_on()
    if exchange.rest.parameters.get("verbose") in ("", "true"):
        raise IllegalArgument(_VERBOSE)
    allowed = await exchange.ask(_NOTHING, target=INLINE, method="POST")
    if allowed.status >= 300:  # before a provider is called
        return await exchange.as_is(allowed)
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
    registry = exchange.parts.registry
    for index in sorted(one for one in indices if one is not None):
        target = await write_target(registry, index)
        if target.pipelines.for_request(requested).concern(await registry.pipelines()):
            raise IllegalArgument(_INGEST.format(index=index))
    return await exchange.shown(declared_everywhere)


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
    runner = Runner(exchange)
    passages = [
        Passage(Draft(data=dump_json(one["_source"]), meta=meta_of(one)), pipeline)
        for one in documents
    ]
    await runner.before(passages)
    left = [number for number, passage in enumerate(passages) if passage.is_open]
    entries: dict[int, Any] = {}
    if left:
        body: Config = {
            "docs": [{**documents[one], "_source": _source(passages[one])} for one in left]
        }
        if inline is not None:
            body["pipeline"] = inline
        answer = await exchange.ask(body, method="POST")
        if answer.status >= 300:
            return await exchange.as_is(answer)
        document, sources = with_sources(answer.body, answer.status)
        entries = dict(zip(left, listed_in(document, "docs", len(left)), strict=True))
        await _end(runner, passages, entries, sources)
    shown_entries = [
        _entry(passage, entries.get(number)) for number, passage in enumerate(passages)
    ]
    return await exchange.made(200, {"docs": shown_entries})


async def _end(
    runner: Runner,
    passages: Sequence[Passage],
    entries: Mapping[int, Any],
    sources: Sequence[bytes],
) -> None:
    """Run the processors at the end on what came of the rest."""
    ending = []
    for number, entry in entries.items():
        if entry is not None and "doc" in entry:
            passages[number].draft.data = sources[entry["doc"]["_source"]]
            ending.append(passages[number])
    await runner.after(ending)


def _entry(passage: Passage, upstream: Any) -> Any:
    """What came of a document; `upstream` is what the upstream said of it, if it was asked."""
    draft = passage.draft
    if draft.error is not None:
        return {"error": draft.error.envelope()["error"]}
    if draft.is_dropped:
        return None
    if upstream is not None and "doc" in upstream:
        return {"doc": {**upstream["doc"], "_source": _source(passage)}}
    if not passage.has_ended:
        return upstream
    meta = {name: draft.meta.get(name, name) for name in ("_index", "_id")}
    return {"doc": {**meta, "_version": "-3", "_source": _source(passage)}}


def _source(passage: Passage) -> Any:
    return load_json(passage.draft.data)
