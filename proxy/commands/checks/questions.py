"""What a node is asked, and its answers; a failure says why in words that help."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
)
from yarl import URL

from proxy.config import UpstreamConfig
from proxy.ground.sessions import HEAD_LIMITS, Connector
from proxy.ground.tlsfailures import SPEAKS_TLS, TlsProbe, connect_problem, tls_problem
from proxy.upstream.tls import upstream_tls
from proxy.upstream.version import own_credentials

PATIENCE: Final = 4.0  # seconds for one answer
_LIMIT: Final = 1024 * 1024  # bytes read of one


class NodeFailed(Exception):
    """Why a node does not answer, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    status: int
    body: bytes
    product: str | None  # of X-Elastic-Product

    @property
    def json(self) -> Any:
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None


def reason_of(problem: OSError) -> str:
    """Why, in the system's words; those of asyncio hold addresses."""
    if problem.errno is not None and problem.errno > 0:
        return os.strerror(problem.errno)
    return problem.strerror or type(problem).__name__  # a name that cannot be looked up


class Questioner:
    """Asks one node, with the proxy's own credentials."""

    def __init__(self, url: str, upstream: UpstreamConfig) -> None:
        """Raises: ConfigError for TLS files that cannot be used."""
        self._url = url.rstrip("/")
        self._probe = TlsProbe(self._url)
        self._tls: ssl.SSLContext | None = upstream_tls(upstream)
        self._headers = {"Accept": "application/json"}
        if (credentials := own_credentials(upstream)) is not None:
            self._headers["Authorization"] = credentials
        if upstream.host is not None:
            self._headers["Host"] = upstream.host
        self._patience = min(PATIENCE, upstream.connect_timeout)

    async def __aenter__(self) -> Questioner:
        self._session = ClientSession(
            connector=Connector(ssl=self._tls or True, force_close=True),
            cookie_jar=DummyCookieJar(),
            timeout=ClientTimeout(total=PATIENCE, sock_connect=self._patience),
            **HEAD_LIMITS,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def ask(self, target: str, body: Any = None) -> Reply:
        """GET, or POST with a body. Raises: NodeFailed."""
        try:
            async with self._session.request(
                "GET" if body is None else "POST",
                URL(self._url + target, encoded=True),
                json=body,
                headers=self._headers,
                allow_redirects=False,
            ) as answer:
                return Reply(
                    status=answer.status,
                    body=await answer.content.read(_LIMIT),
                    product=answer.headers.get("X-Elastic-Product"),
                )
        except ConnectionTimeoutError:
            raise NodeFailed(
                "it did not accept a connection in time: check its address and firewalls"
            ) from None
        except TimeoutError:
            raise NodeFailed("it did not answer in time: check its log") from None
        except ClientConnectorError as problem:
            reason = connect_problem(self._url, problem) or reason_of(problem)
            raise NodeFailed(f"it cannot be reached: {reason}") from None
        except ClientError as problem:
            raise NodeFailed(await self._unanswered(problem)) from None

    async def _unanswered(self, problem: ClientError) -> str:
        if (reason := tls_problem(problem)) is not None:
            return reason
        if await self._probe.speaks_tls():
            return f"it {SPEAKS_TLS}"
        return "it did not answer in HTTP: check that Elasticsearch listens there"
