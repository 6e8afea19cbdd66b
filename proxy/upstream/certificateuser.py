"""Whether the upstream takes the proxy's own certificate for a user.

A PKI realm authenticates whoever shows a certificate that it trusts, and every request of every
caller goes over connections on which the proxy shows its own: callers without credentials would act
as the proxy. So no connection is used before the node at its other end was asked.
Source: PkiRealm, RealmsAuthenticator.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import orjson
from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientRequest,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    hdrs,
)
from aiohttp.client_proto import ResponseHandler
from aiohttp.tracing import Trace

from proxy.config import ConfigError, UpstreamConfig
from proxy.ground.sessions import HEAD_LIMITS, Connector
from proxy.ground.singleflight import SingleFlight
from proxy.upstream.nodes import CertificateTaken, Nodes
from proxy.upstream.tls import upstream_tls

FRESHNESS: Final = 2.0  # seconds for which a node's answer counts
AUTHENTICATE: Final = "/_security/_authenticate"
_ANSWER_LIMIT: Final = 1024 * 1024  # bytes
_UNTOLD: Final = "it does not tell whether it takes the proxy's certificate for a user"


class CertificateGuard:
    """Asks nodes, with the certificate and without credentials, who the proxy is."""

    def __init__(
        self, upstream: UpstreamConfig, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._upstream = upstream
        self._clock = clock
        self._asked: dict[str, float] = {}  # when each node said that it is nobody
        self._asking: SingleFlight[str, None] = SingleFlight()

    async def vet(self, node: str) -> None:
        """Return if the node at this URL takes the certificate for nobody.

        Raises: CertificateTaken; any other OSError when it cannot tell.
        """
        if self._clock() - self._asked.get(node, -FRESHNESS) >= FRESHNESS:
            await self._asking.run(node, lambda: self._ask(node))

    async def _ask(self, node: str) -> None:
        asked_at = self._clock()
        status, body = await self._answer(node)
        if status == 429 or status >= 500:
            raise OSError(0, f"{_UNTOLD}: it answered [{status}]")
        match body if status == 200 else {}:
            case {"authentication_type": "anonymous"}:
                pass
            case {"username": str(user)}:
                raise CertificateTaken(user)
            case None:
                raise OSError(0, _UNTOLD)
        self._asked[node] = asked_at

    async def _answer(self, node: str) -> tuple[int, Any]:
        headers = {} if self._upstream.host is None else {hdrs.HOST: self._upstream.host}
        try:
            async with (
                ClientSession(
                    connector=Connector(ssl=upstream_tls(self._upstream) or True),
                    cookie_jar=DummyCookieJar(),
                    timeout=ClientTimeout(total=self._upstream.check_timeout),
                    **HEAD_LIMITS,
                ) as session,
                session.get(node + AUTHENTICATE, headers=headers, allow_redirects=False) as answer,
            ):
                body = bytearray()
                while len(body) <= _ANSWER_LIMIT and (piece := await answer.content.readany()):
                    body += piece
        except ClientConnectorError:
            raise
        except (ClientError, TimeoutError):
            raise OSError(0, _UNTOLD) from None
        try:
            return answer.status, orjson.loads(body)
        except orjson.JSONDecodeError:
            return answer.status, None


def guard_certificate(nodes: Nodes, upstream: UpstreamConfig) -> None:
    """Have each node vetted before a connection to it is used, if the proxy has a certificate."""
    if upstream.certificate is not None:
        guard = CertificateGuard(upstream)
        for node in nodes:
            if node.name.startswith("https:"):
                node.vet = partial(guard.vet, node.name)


async def refuse_taken(nodes: Nodes) -> None:
    """Raises: ConfigError if a node takes the certificate for a user."""
    found = await asyncio.gather(*(node.vet() for node in nodes), return_exceptions=True)
    for problem in found:
        if isinstance(problem, CertificateTaken):
            raise ConfigError(f"[upstream.certificate] is [{problem.user}]: {problem}")


class VettingConnector(Connector):
    """Makes connections to nodes that were vetted."""

    def __init__(self, nodes: Nodes, **options: Any) -> None:
        super().__init__(**options)
        self._vets = {node.name: node for node in nodes}

    async def _create_connection(
        self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> ResponseHandler:
        try:
            await self._vets[str(req.url.origin())].vet()
        except ClientConnectorError:
            raise
        except OSError as error:
            raise ClientConnectorError(req.connection_key, error) from None
        return await super()._create_connection(req, traces, timeout)
