"""The semantic layer as the application sees it: what it looks at, and how it answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from aiohttp import web

from proxy.config import SemanticConfig
from proxy.errors import ProxyError
from proxy.rest.request import RestRequest, parse_request
from proxy.rest.responder import responder_for
from proxy.semantic.exchange import Exchange, Parts, ReadBody, ReadPieces
from proxy.semantic.guarding import Guard
from proxy.semantic.interception import Interceptor, changes, decoded
from proxy.semantic.ports import Endpoints, Permissions, Upstream
from proxy.semantic.registry import Registry
from proxy.semantic.routes import PATHS, ROUTES

# Requests whose body may stand in the URL, as `source`.
_WITH_SOURCE: Final = ("_count", "_explain", "_field_caps", "_mget", "_msearch", "_search")


class SemanticLayer:
    """Gives semantic fields to the upstream."""

    def __init__(
        self,
        upstream: Upstream,
        endpoints: Endpoints,
        permissions: Permissions,
        config: SemanticConfig,
        *,
        read_body: ReadBody,
        read_pieces: ReadPieces,
    ) -> None:
        self._registry = Registry(upstream, config.refresh)
        self.interceptor = Interceptor(self._registry)
        self._parts = Parts(
            upstream=upstream,
            endpoints=endpoints,
            registry=self._registry,
            guard=Guard(permissions, upstream),
            read_body=read_body,
            read_pieces=read_pieces,
            default_id=config.default_inference_id,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the registry up to date meanwhile."""
        async with asyncio.TaskGroup() as tasks:
            looking = tasks.create_task(self._registry.run())
            yield
            looking.cancel()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The answer to a request that the interceptor takes. Raises: ProxyError."""
        rest = parse_request(request.method, request.raw_path, request.headers)
        match = PATHS.match(rest.segments())
        handler = None if match is None else ROUTES[match.pattern].get(rest.method)
        target = rest.target.encode("utf-8", "surrogateescape")
        exchange = Exchange(
            request=request,
            rest=rest,
            responder=responder_for(rest),
            names={} if match is None else match.parameters,
            parts=self._parts,
            changes=changes(request.method.encode(), target),
        )
        if match is not None and match.pattern.rpartition("/")[2] in _WITH_SOURCE:
            exchange.take_source()
        if handler is None or rest.problem is not None:
            await self._learn(rest)
            return await exchange.hand_on()
        response = await handler(exchange)
        if exchange.changes and not response.prepared:
            await self._registry.changed()
        return response

    async def _learn(self, rest: RestRequest) -> None:
        """Look the name in a path up, as no handler does: if it is plain, others need not come."""
        name = decoded(rest.path[1:].partition("/")[0].encode("utf-8", "surrogateescape"))
        if not name.startswith("_"):
            with suppress(ProxyError):  # the request itself will tell
                await self._registry.look_up(name)
