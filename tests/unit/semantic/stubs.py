"""Stand-ins for what the semantic layer needs of others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web

from proxy.semantic.ports import Change, Telling, UpstreamAnswer


class NoUpstream:
    """An upstream that nobody may ask."""

    async def has_inference(self) -> bool:
        raise AssertionError("asked")

    async def version(self) -> str | None:
        raise AssertionError("asked")

    async def ask_as_proxy(self, method: str, target: str, body: bytes = b"") -> UpstreamAnswer:
        raise AssertionError(target)

    async def ask_as_caller(
        self, request: web.Request, method: str, target: str, body: bytes | list[bytes] = b""
    ) -> UpstreamAnswer:
        raise AssertionError(target)

    async def hand_on(
        self,
        request: web.Request,
        body: bytes | None = None,
        answered: Callable[[], Awaitable[None]] | None = None,
        change: Change | None = None,
    ) -> web.StreamResponse:
        raise AssertionError("handed on")

    async def ask_unless_large(
        self,
        request: web.Request,
        method: str,
        target: str,
        body: bytes,
        too_large: Change | None,
    ) -> UpstreamAnswer | web.StreamResponse:
        raise AssertionError(target)

    async def hand_on_unless(
        self,
        request: web.Request,
        body: bytes | None,
        telling: Telling,
        too_large: Change | None = None,
    ) -> web.StreamResponse | UpstreamAnswer:
        raise AssertionError("handed on")

    async def hand_on_pieces(
        self,
        request: web.Request,
        pieces: AsyncIterator[bytes],
        is_whole: Callable[[], bool],
    ) -> web.StreamResponse | UpstreamAnswer:
        raise AssertionError("handed on")

    async def hand_on_as(
        self,
        request: web.Request,
        target: str,
        body: bytes | None,
        change: Change | None = None,
        answered: Callable[[], Awaitable[None]] | None = None,
    ) -> web.StreamResponse:
        raise AssertionError(target)
