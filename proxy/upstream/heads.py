"""Heads of requests as aiohttp's server has parsed them, judged by the rules of the lane."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from proxy.http1 import RequestHead, check_text, request_head

_HEAD: Final = web.RequestKey("head", RequestHead)


def head_of(request: web.Request) -> RequestHead:
    """The head of a request that may be passed on; it is kept, so asking again costs nothing.

    Raises: ProxyError for any other request; its connection has to be closed.
    """
    head = request.get(_HEAD)
    if head is None:
        head = request[_HEAD] = _read(request)
    return head


def _read(request: web.Request) -> RequestHead:
    check_text(value for _, value in request.raw_headers)
    version = f"HTTP/{request.version.major}.{request.version.minor}".encode()
    headers = list(request.raw_headers)
    return request_head(request.method.encode(), raw_target(request), version, headers)


def raw_target(request: web.Request) -> bytes:
    """The target as it was sent, which is what routing is decided on."""
    return request.raw_path.encode("utf-8", "surrogateescape")
