"""The semantic layer as the application sees it: what it looks at, and how it answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from aiohttp import web

from proxy.config import SemanticConfig
from proxy.ground.epoch import Epoch
from proxy.ground.errors import IllegalArgument, ProxyError, UpstreamError
from proxy.inference.endpoints import InferenceEndpoint
from proxy.inference.ports import Notes, Uses
from proxy.rest.request import RestRequest, parse_request
from proxy.rest.responder import responder_for
from proxy.rest.routing import Match
from proxy.semantic.abilities import Abilities
from proxy.semantic.counting import CountedEndpoints, kind_of
from proxy.semantic.exchange import Exchange, Parts, ReadBody, ReadPieces, Send, Unread
from proxy.semantic.expressions import EVERYTHING, is_no_index
from proxy.semantic.guarding import Guard
from proxy.semantic.inparts import InParts, in_parts, is_in_parts, reads_types
from proxy.semantic.interception import Interceptor, changes, writes_documents
from proxy.semantic.ports import Endpoints, Forwarder, Permissions, Upstream
from proxy.semantic.registry import Registry
from proxy.semantic.routes import PATHS, ROUTES, Handler
from proxy.semantic.showing import show_nothing_of_ours
from proxy.semantic.tasks import Tasks
from proxy.semantic.upstreamrelease import UpstreamRelease
from proxy.semantic.uses import misfits, uses_of
from proxy.telemetry.semantic import SemanticMetrics

# Segments of requests whose body may stand in the URL.
_WITH_SOURCE: Final = frozenset(
    (
        "_count",
        "_delete_by_query",
        "_explain",
        "_field_caps",
        "_mget",
        "_msearch",
        "_rank_eval",
        "_search",
        "_sql",
        "_update_by_query",
        "_validate",
    )
)


class SemanticLayer:
    """Gives semantic fields to the upstream."""

    def __init__(
        self,
        upstream: Upstream,
        forwarder: Forwarder,
        endpoints: Endpoints,
        permissions: Permissions,
        config: SemanticConfig,
        epoch: Epoch,
        metrics: SemanticMetrics,
        notes: Notes,
        *,
        read_body: ReadBody,
        read_pieces: ReadPieces,
        send: Send,
    ) -> None:
        self._registry = Registry(upstream, config.refresh, epoch)
        release = UpstreamRelease(upstream)
        self.interceptor = Interceptor(self._registry, release)
        self._parts = Parts(
            upstream=upstream,
            forwarder=forwarder,
            endpoints=CountedEndpoints(endpoints, partial(metrics.count_texts, "queries")),
            document_endpoints=CountedEndpoints(
                endpoints, partial(metrics.count_texts, "documents")
            ),
            registry=self._registry,
            guard=Guard(permissions, upstream),
            tasks=Tasks(notes),
            abilities=Abilities(upstream),
            release=release,
            read_body=read_body,
            read_pieces=read_pieces,
            send=send,
            metrics=metrics,
            default_id=config.default_inference_id,
        )

    @asynccontextmanager
    async def running(self, offered: asyncio.Event) -> AsyncIterator[None]:
        """Keep the registry up to date meanwhile, once the layer is `offered` for good."""

        async def look() -> None:
            await offered.wait()
            await self._registry.run()

        async with asyncio.TaskGroup() as tasks:
            looking = tasks.create_task(look())
            self._parts.tasks.open(tasks)
            yield
            looking.cancel()
            self._parts.tasks.close()

    async def uses_of(self, inference_id: str) -> Uses:
        """What names the endpoint. Raises: UpstreamError when the upstream cannot be asked."""
        return await uses_of(inference_id, self._parts.upstream)

    async def misfits_of(self, endpoint: InferenceEndpoint) -> Sequence[str]:
        """The indices with embeddings that those of a new endpoint of this id do not fit.

        As far as they can be seen: a document that does not fit is refused in any case.
        """
        try:
            await self._registry.look()  # a first document may just have filled a field
            target = await self._registry.look_up(EVERYTHING)
        except UpstreamError:
            return ()
        return misfits(target.fields, endpoint)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The answer to a request that the interceptor takes. Raises: ProxyError."""
        rest = parse_request(request.method, request.raw_path, request.headers)
        raw = _raw(rest)
        if rest.problem is not None or not await self._is_concerned(*raw):
            return await self._parts.forwarder.hand_on(request)
        segments = rest.segments()
        match = _matched(rest, in_parts(raw[1]))
        handler = None if match is None else ROUTES[match.pattern].get(rest.method)
        exchange = Exchange(
            request=request,
            rest=rest,
            responder=responder_for(rest),
            names={} if match is None else _names(match.parameters, rest.parameters),
            parts=self._parts,
            changes=changes(*raw),
        )
        if not _WITH_SOURCE.isdisjoint(segments):
            exchange.take_source()
        kind = "other" if match is None else kind_of(match.pattern, rest.method)
        try:
            response = await self._handled(handler or show_nothing_of_ours, exchange)
        except ProxyError:
            self._parts.metrics.count_request(kind, "failed")
            raise
        outcome = "passed_on" if exchange.passed_on else "translated"
        self._parts.metrics.count_request(kind, outcome)
        await exchange.settle()
        return response

    async def _handled(self, handler: Handler, exchange: Exchange) -> web.StreamResponse:
        """What a handler answers; or the upstream, where it cannot read a body.

        Raises: ProxyError, among them that for such a body where a field may be concerned.
        """
        try:
            return await handler(exchange)
        except Unread as error:
            unread = error
        except RecursionError:
            raise IllegalArgument("the request has too many levels") from None
        registry, index = self._registry, exchange.names.get("index", EVERYTHING)
        method, target = _raw(exchange.rest)
        if is_in_parts(target):
            index = EVERYTHING
        if unread.raw is None or writes_documents(method, target):
            raise unread.error
        if registry.snapshot.active and (await registry.look_up(index)).fields:
            raise unread.error
        exchange.passed_on = True
        return await self._parts.forwarder.hand_on(exchange.request, unread.raw, exchange.settle)

    async def _is_concerned(self, method: bytes, target: bytes) -> bool:
        """Whether it still is ours, once what is known is current enough. Raises: UpstreamError."""
        if self._registry.is_current or not writes_documents(method, target):
            return True
        await self._registry.look()
        takes, looks_into = self.interceptor.takes, self.interceptor.looks_into
        return takes(method, target) or looks_into(method, target)


def _raw(rest: RestRequest) -> tuple[bytes, bytes]:
    """The method and the target of a request as they came."""
    return rest.method.encode(), rest.target.encode("utf-8", "surrogateescape")


def _matched(rest: RestRequest, parts: InParts | None) -> Match | None:
    """What a path leads to; None for one such as `/_stats`, of which no handler knows.

    Whatever stands before `_bulk` is taken for an index, as lines may name others.
    Source: PathTrie, which tries a parameter in the place of a first literal before others.
    """
    if parts is not None and not parts.has_type:
        return Match(parts.pattern, {} if parts.index is None else {"index": parts.index})
    if parts is not None and reads_types(rest):
        return None
    match = PATHS.match(rest.segments())
    return None if match is None or is_no_index(match.parameters.get("index", "")) else match


def _names(in_path: Mapping[str, str], parameters: Mapping[str, str]) -> dict[str, str]:
    """The parameters of a path; the index may stand behind it. Source: RestRequest.param.

    An empty name, as in `//_search`, stands for all indices.
    """
    names = dict(in_path)
    if (index := names.get("index", parameters.get("index"))) is not None:
        names["index"] = index or EVERYTHING
    return names
