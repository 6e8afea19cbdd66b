"""What is noted on a request of aiohttp on its way through the application."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web

from proxy.rest.body import Body
from proxy.rest.responder import Responder

# What is noted of all requests of a connection that have the same head, but for Content-Length.
OF_HEAD: Final = web.RequestKey("of_head", dict[str, Any])
RESPONDER: Final = web.RequestKey("responder", Responder)
BODY: Final = web.RequestKey("body", Body)  # once it has been read
# Headers of the answer that depend on where the request comes from.
ORIGIN_HEADERS: Final = web.RequestKey("origin_headers", Sequence[tuple[str, str]])
STARTED: Final = web.RequestKey("started", bool)  # the head of the answer has been sent
# It must not be passed on, as its head is ambiguous.
REFUSED: Final = web.RequestKey("refused", bool)

# Labels of the metrics.
ROUTE: Final = web.RequestKey("route", str)
LIMIT: Final = web.RequestKey("limit", str)  # that was hit
