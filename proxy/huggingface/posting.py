"""A POST over the connections of an aiohttp session, and its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from aiohttp import ClientSession, hdrs
from yarl import URL

from proxy.ground.exchanges import Answer, SharedRequest, exchange
from proxy.ground.remembering import remembered
from proxy.ground.sessions import Connector

_MOST_REMEMBERED: Final = 1024  # URLs
_LONGEST_REMEMBERED: Final = 2048  # characters of a URL
_NONE: Final[Mapping[str, str]] = MappingProxyType({})


class Poster:
    """Posts JSON over the connections of a session, which must lead to the servers themselves."""

    def __init__(self, session: ClientSession, connector: Connector) -> None:
        self._connector = connector
        self._timeout = session.timeout
        self._target = remembered(
            partial(_Target, asyncio.get_running_loop()),
            most=_MOST_REMEMBERED,
            longest=_LONGEST_REMEMBERED,
        )

    @classmethod
    def of(cls, session: ClientSession) -> Poster | None:
        """None where connections lead to a forward proxy, which wants requests of its own."""
        connector = session.connector
        if isinstance(connector, Connector) and connector.is_direct:
            return cls(session, connector)
        return None

    async def post(
        self, url: str, token: str, data: bytes, more: Mapping[str, str] = _NONE
    ) -> Answer:
        """The answer, once its head has come; `more` are further headers.

        Raises: aiohttp's ClientErrors, DroppedWhileIdle, OSError; UnicodeError for an odd host.
        """
        target = self._target(url)
        head = target.head + b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n" % (
            token.encode(),
            len(data),
        )
        for name, value in more.items():
            head = b"%b%b: %b\r\n\r\n" % (head[:-2], name.encode(), value.encode())
        return await exchange(self._connector, target.request, head, data, self._timeout)


class _Target:
    """What all requests to a URL have in common."""

    def __init__(self, loop: asyncio.AbstractEventLoop, url: str) -> None:
        where = URL(url, encoded=url.isascii())  # letters beyond ASCII must be escaped
        self.request = SharedRequest(
            "POST", where, headers={"Content-Type": "application/json"}, loop=loop
        )
        lines = [f"POST {where.raw_path_qs} HTTP/1.1"]
        lines += [
            f"{name}: {value}"
            for name, value in self.request.headers.items()
            if name != hdrs.CONTENT_LENGTH
        ]
        self.head = ("\r\n".join(lines) + "\r\n").encode()
