"""The body of a request on its way upstream."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from proxy.ground.errors import ProxyError
from proxy.http1 import CONTINUE
from proxy.limits.uploads import next_piece


class Upload:
    """The body of a request that is passed on as it comes; it can be sent once."""

    def __init__(self, request: web.Request, timeout: float, *, expects: bool) -> None:
        """timeout: seconds for the next bytes. expects: whether the caller waits for a 100."""
        self._request = request
        self._timeout = timeout
        self._expects = expects
        self.error: ProxyError | None = None  # what the caller is told if it broke off

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body for aiohttp's client, which asks for the first piece after the upstream's 100.

        Raises: StatusError 408 when the body does not go on; `error` is set then.
        """
        request = self._request
        if self._expects and request.transport is not None:
            request.transport.write(CONTINUE)
        # Even if it is empty: the client sends the head together with the first piece.
        yield request.content.read_nowait()
        while True:
            try:
                piece = await next_piece(request.content, self._timeout)
            except ProxyError as error:
                self.error = error
                raise
            if not piece:
                return
            yield piece
