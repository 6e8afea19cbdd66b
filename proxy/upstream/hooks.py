"""Where aiohttp's server must behave like a proxy: what the application does to its answers."""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs, web

from proxy.ground.interception import is_inference
from proxy.http1 import CONTINUE
from proxy.upstream.heads import raw_target

# Set on a request that was handed on: the names of the headers in the upstream's answer, in lower
# case.
FROM_UPSTREAM: Final = web.RequestKey("from_upstream", frozenset[str])
_ADDED_BY_AIOHTTP: Final = (hdrs.SERVER, hdrs.DATE, hdrs.CONTENT_TYPE)


async def expect_continue(request: web.Request) -> None:
    """An `expect_handler` that asks for the bodies of `_inference` requests only.

    For others the upstream decides: its 100 is passed back, or its refusal before the body is sent.
    """
    if is_inference(raw_target(request)):
        await request.writer.write(CONTINUE)
        request.writer.output_size = 0  # as aiohttp's own handler does: the answer has not begun


def strip_additions(request: web.Request, response: web.StreamResponse) -> None:
    """Remove the headers which aiohttp adds.

    The upstream's own headers of these names stay, and so does the Content-Type of our answers.
    """
    sent = request.get(FROM_UPSTREAM)
    for name in _ADDED_BY_AIOHTTP:
        if sent is not None:
            if name.lower() not in sent:
                response.headers.popall(name, None)
        elif name != hdrs.CONTENT_TYPE:
            response.headers.popall(name, None)
