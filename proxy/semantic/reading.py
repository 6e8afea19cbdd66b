"""Requests that read documents: what the layer added to them stays out of sight.

The upstream is asked not to show it. Only where that cannot be asked for is an answer changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web

from proxy.limits.threads import offload
from proxy.semantic.answerjson import AT_ONCE
from proxy.semantic.answers import has_failures
from proxy.semantic.asyncsearches import is_async
from proxy.semantic.cutting import Replacement, cut_out
from proxy.semantic.exchange import Exchange
from proxy.semantic.fields import Fields
from proxy.semantic.inferencefields import inference_fields, shows_inference_fields
from proxy.semantic.ports import UpstreamAnswer
from proxy.semantic.registry import Target
from proxy.semantic.sourcefilters import (
    INFERENCE_FIELDS,
    filter_in_body,
    filter_in_url,
    hides_source,
    is_in_url,
    url_with,
    without_container,
    without_matches,
)
from proxy.xcontent.loading import load_json
from proxy.xcontent.writing import dump_json

_EXCLUDES: Final = "_source_excludes"
_SOURCELESS: Final = b"_source is disabled in the mappings"


async def get_document(exchange: Exchange) -> web.StreamResponse:
    """One document, or its source alone."""
    found = await exchange.parts.registry.look_up(exchange.names["index"])
    if not found.fields:
        return await exchange.hand_on_as_plain(found)
    own = exchange.rest.parameters
    shows = await shows_inference_fields(filter_in_url(own), exchange.parts.release)
    parameters = url_with(own, shows=shows)
    if not shows:
        return await exchange.hand_on_as(target=exchange.rest.path + _query(parameters))
    is_source = "_source" in exchange.rest.segments()
    return await exchange.hand_on_cut(
        parameters=parameters,
        replacement=inference_fields(found.fields),
        source_of=max(found.fields) if is_source else None,
    )


async def get_documents(exchange: Exchange) -> web.StreamResponse:
    """Several documents, each with a filter of its own perhaps. Source: MultiGetRequest."""
    exchange.refuse_smile()
    body = await exchange.document()
    docs = body.get("docs") if isinstance(body, dict) else None
    fields = await _fields_of(exchange, docs)
    if not isinstance(body, dict) or not fields:
        return await exchange.hand_on_unread()  # as documents may be named in ways of their own
    own = exchange.rest.parameters
    shows = await shows_inference_fields(filter_in_url(own), exchange.parts.release)
    data, parameters = None, url_with(own, shows=shows)
    if isinstance(docs, list):
        is_each = _is_each_filtered(body, own)
        filtered = [_filtered(one, own if is_each else None) for one in docs]
        data = dump_json({**body, "docs": filtered})
        parameters = dict(own) if is_each else parameters
    sent = exchange.rest.content_type
    if not shows and (data is None or (sent is not None and sent.format == "json")):
        return await exchange.hand_on_as(target=exchange.rest.path + _query(parameters), body=data)
    return await exchange.hand_on_cut(
        parameters=parameters, body=data, replacement=inference_fields(fields) if shows else None
    )


async def _fields_of(exchange: Exchange, docs: Any) -> dict[str, Fields]:
    """The semantic fields of the indices that an `_mget` names, by index."""
    docs = docs if isinstance(docs, list) else []
    named = [str(one["_index"]) for one in docs if isinstance(one, dict) and "_index" in one]
    if "index" in exchange.names:
        named.append(exchange.names["index"])
    found: dict[str, Fields] = {}
    for index in set(named):
        found |= (await exchange.parts.registry.look_up(index)).fields
    return found


def _is_each_filtered(body: Mapping[str, Any], parameters: Mapping[str, str]) -> bool:
    """Whether each document needs a filter of its own: one for all would show every source.

    A document that asks for stored fields shows no source as long as there is no filter.
    """
    asks = any(isinstance(doc, dict) and "stored_fields" in doc for doc in body["docs"])
    return asks and "ids" not in body and not is_in_url(parameters)


def _filtered(doc: Any, parameters: Mapping[str, str] | None) -> Any:
    """A part of `_mget` whose own filter, if it has one, leaves out what the layer added.

    parameters: the URL's, if it needs a filter of its own.
    """
    if not isinstance(doc, dict):
        return doc
    if "_source" not in doc:  # then the URL says what is shown
        if parameters is None:
            return doc
        stored = {"stored_fields": doc["stored_fields"]} if "stored_fields" in doc else {}
        if hides_source(stored, {} if stored else parameters):
            return doc
    return {**doc, "_source": without_container(doc.get("_source"))}


def _query(parameters: Mapping[str, str]) -> str:
    return f"?{urlencode(parameters)}" if parameters else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Showing:
    """How a search shows documents: what is sent, and what becomes of what comes back."""

    body: dict[str, Any]
    parameters: Mapping[str, str]
    replacement: Replacement | None
    has_own_filter: bool = True  # whether the caller says what is shown of sources
    late: tuple[str, ...] = ()  # patterns of what is left out of sources that have come

    def unfiltered(self) -> Showing:
        """The same without the layer's filter, which an index that keeps no sources refuses."""
        body = {key: value for key, value in self.body.items() if key != "_source"}
        parameters = {key: one for key, one in self.parameters.items() if key != _EXCLUDES}
        return Showing(body=body, parameters=parameters, replacement=None)

    def is_refused(self, answer: UpstreamAnswer) -> bool:
        """Whether an index has refused the layer's filter."""
        may_be = answer.status >= 300 or has_failures(answer.body)
        return may_be and self.is_refused_by(answer.body)

    def is_refused_by(self, answer: bytes) -> bool:
        """The same for what it answers."""
        return not self.has_own_filter and _SOURCELESS in answer


async def showing(
    exchange: Exchange, body: Mapping[str, Any], found: Target, *, is_alone: bool = True
) -> Showing:
    """A search that shows nothing of ours, but for `_inference_fields` where it asks for these.

    `is_alone` says that the URL is that of this search, and of no other.
    """
    made = {key: _below(value) for key, value in body.items()}
    named = False
    if isinstance(fields := body.get("fields"), list):
        made["fields"] = [one for one in fields if _field_name(one) != INFERENCE_FIELDS]
        named = len(made["fields"]) < len(fields)
        if named and not made["fields"]:
            del made["fields"]
    parameters = dict(exchange.rest.parameters) if is_alone else {}
    in_url = is_alone and (is_in_url(parameters) or not body)
    filter = filter_in_url(parameters) if in_url else filter_in_body(body.get("_source"))
    if filter is None or filter.source is False or hides_source(body, parameters):
        return Showing(body=made, parameters=parameters, replacement=None)
    shows = named or await shows_inference_fields(filter, exchange.parts.release)
    hides = shows and await exchange.parts.release.hides_vectors()
    late: tuple[str, ...] = ()
    if shows and is_alone and "scroll" not in parameters and not is_async(exchange.rest.path):
        filter, late = filter.apart()
    if in_url and late:
        parameters[_EXCLUDES] = ",".join(filter.excludes)
    if in_url:
        parameters = url_with(parameters, shows=shows, hides_vectors=hides)
    else:
        made["_source"] = filter.for_upstream(shows=shows, hides_vectors=hides)
    replacement = inference_fields(found.fields) if shows else None
    has_own = bool(shows or filter.includes or filter.excludes)
    return Showing(
        body=made,
        parameters=parameters,
        replacement=replacement,
        has_own_filter=has_own,
        late=late,
    )


async def cut(
    answer: UpstreamAnswer, replacement: Replacement | None = None, late: tuple[str, ...] = ()
) -> UpstreamAnswer:
    """An answer without the layer's own fields, perhaps with `_inference_fields` in their place.

    `late` are patterns of what is left out of the sources of hits, too.
    """

    def changed() -> bytes:
        body = cut_out(answer.body, replacement)
        return _without(body, late) if late else body

    body = await offload(len(answer.body), AT_ONCE, changed)
    return _Changed(answer.status, answer.headers, body)


def _without(body: bytes, patterns: tuple[str, ...]) -> bytes:
    document = load_json(body)
    for hit in document["hits"]["hits"]:
        if "_source" in hit:
            hit["_source"] = without_matches(hit["_source"], patterns)
    return dump_json(document)


@dataclass(frozen=True, slots=True)
class _Changed:
    """An upstream's answer with another body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def _field_name(value: Any) -> Any:
    return value.get("field") if isinstance(value, Mapping) else value


def _below(value: Any) -> Any:
    """A part of a search body, with the filters of the hits below it."""
    if isinstance(value, list):
        is_vector = bool(value) and isinstance(value[0], int | float)
        return value if is_vector else [_below(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _hits(one) if key in ("top_hits", "inner_hits") else _below(one)
        for key, one in value.items()
    }


def _hits(value: Any) -> Any:
    if isinstance(value, list):
        return [_hits(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    if hides_source(value, {}):
        return _below(value)
    return {**_below(value), "_source": without_container(value.get("_source"))}
