"""Idle connections, kept for as long as their server is seen to keep one.

A connection saves two or three ways to a server and back, and the work of a handshake. But who
sends a request on one that the server drops just then has to send it again. Servers seldom say how
long they keep them: uvicorn and Node.js five seconds, load balancers about a minute, servers of
models often for ever. So one of those that have been idle for too long is not closed but watched;
no request is sent on it.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from proxy.ground.sessions import Connector

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ConnectionKey

LEAST: Final = 4.0  # seconds; uvicorn and Node.js drop it after 5
MOST: Final = 60.0  # seconds; routers may forget a silent connection after some minutes
_SAFE: Final = 0.8  # of the time that a server is known to keep a connection
_MOST_WATCHED: Final = 64  # connections
_MOST_KNOWN: Final = 1024  # servers; the one learned about longest ago is forgotten first


class KeepingConnector(Connector):
    """Keeps an idle connection for `least` seconds, and for up to `most` where its server does."""

    def __init__(self, *, least: float = LEAST, most: float = MOST, **options: Any) -> None:
        super().__init__(keepalive_timeout=most, **options)
        self.shortest = least
        self._enough = most / _SAFE  # seconds after which no more can be learned
        self._watched: dict[ConnectionKey, tuple[ResponseHandler, float]] = {}
        self._known: dict[ConnectionKey, float] = {}  # seconds that a server has kept one

    def longest(self, key: ConnectionKey) -> float:
        """Seconds for which an idle connection to this server may be used."""
        return max(self.shortest, _SAFE * self._known.get(key, 0.0))

    def was_dropped(self, key: ConnectionKey) -> None:
        """A server has dropped a connection as it was used: what was learned holds no more."""
        self._known.pop(key, None)
        if (watched := self._watched.pop(key, None)) is not None:
            watched[0].close()

    def spares(self, key: ConnectionKey, protocol: ResponseHandler, since: float) -> bool:
        if (
            key in self._watched
            or len(self._watched) >= _MOST_WATCHED
            or self._known.get(key, 0.0) >= self._enough
        ):
            return False
        self._watched[key] = protocol, since
        return True

    def look(self) -> bool:
        now = monotonic()
        for key, (protocol, since) in list(self._watched.items()):
            if protocol.is_connected():
                self._learn(key, now - since)
                if now - since < self._enough:
                    continue
                protocol.close()
            del self._watched[key]
        return bool(self._watched)

    def _learn(self, key: ConnectionKey, seconds: float) -> None:
        known = self._known.pop(key, 0.0)
        self._known[key] = min(max(known, seconds), self._enough)
        while len(self._known) > _MOST_KNOWN:
            del self._known[next(iter(self._known))]

    def _close(self, *, abort_ssl: bool = False) -> list[Awaitable[object]]:
        for key, watched in self._watched.items():
            self._conns[key].append(watched)
        self._watched.clear()
        return super()._close(abort_ssl=abort_ssl)
