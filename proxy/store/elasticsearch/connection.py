"""The connection to Elasticsearch: one client, and its failures as errors of the store."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

from aiohttp import ClientConnectorError
from elastic_transport import ConnectionTimeout, SerializationError, TlsError, TransportError
from elasticsearch import ApiError, AsyncElasticsearch
from yarl import URL

from proxy.config import StoreConfig, UpstreamConfig
from proxy.ground.errors import StoreError
from proxy.ground.tlsfailures import SPEAKS_TLS, TlsProbe, connect_problem, tls_problem
from proxy.store.elasticsearch.answers import type_of, unexpected
from proxy.store.elasticsearch.failures import Failures
from proxy.store.elasticsearch.transport import LimitedNode, PlainTransport, cause_of
from proxy.upstream.tls import upstream_tls

log = logging.getLogger(__name__)


class Unreachable(StoreError):
    """There is no connection to Elasticsearch."""


class Connection:
    """The client, which has the proxy's own credentials and is used for nothing but the index."""

    def __init__(self, upstream: UpstreamConfig, config: StoreConfig) -> None:
        self.index = config.index
        self.path = f"/{quote(config.index, safe='')}"  # of the index
        self.failures = Failures(index=config.index, credentials=named_credentials(upstream))
        # Elasticsearch gives up first, so that its answer says what went wrong.
        self.server_timeout = f"{int(config.timeout * 900)}ms"
        self._upstream = upstream
        self._timeout = config.timeout
        self._client: AsyncElasticsearch | None = None
        self._probes = [TlsProbe(url) for url in upstream.urls]
        self._problem: str | None = None  # why it could not be reached last time

    def open(self) -> None:
        self._client = connect(self._upstream, self._timeout)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    @asynccontextmanager
    async def calling(self) -> AsyncIterator[AsyncElasticsearch]:
        """The client, for one call. Raises: StoreError for whatever the client raises."""
        if self._client is None:
            raise StoreError("The endpoint store is not open")
        try:
            yield self._client
        except ApiError as error:
            log.warning("the endpoint store answered %d %s", error.meta.status, type_of(error))
            raise self.failures.translated(error) from None
        except ConnectionTimeout:
            raise StoreError(
                f"The endpoint store did not answer within [{self._timeout:g}] seconds: "
                "GET tells whether a change was made"
            ) from None
        except SerializationError:
            raise unexpected() from None
        except TransportError as error:
            raise await self._unreachable(error) from None
        self._problem = None

    async def _unreachable(self, error: TransportError) -> Unreachable:
        cause = cause_of(error)
        problem = tls_problem(cause)
        if problem is None and isinstance(cause, ClientConnectorError):
            problem = connect_problem(self._upstream.urls[0], cause)
        if problem is None and any([await probe.speaks_tls() for probe in self._probes]):
            problem = f"upstream {SPEAKS_TLS}"
        if problem is None and isinstance(error, TlsError):
            problem = "TLS fails: check [upstream.ca_file] and [upstream.url]"
        if problem != self._problem and problem is not None:  # logged once, not for each call
            log.warning("the endpoint store cannot be reached: %s", problem)
        self._problem = problem
        if problem is None:  # the whole upstream is away, which the proxy logs elsewhere
            log.debug("the endpoint store cannot be reached: %s", type(error).__name__)
            problem = "check that Elasticsearch runs, and [upstream.url]"
        return Unreachable(f"The endpoint store cannot be reached: {problem}")


def named_credentials(upstream: UpstreamConfig) -> str | None:
    """The settings that hold the proxy's own credentials."""
    if upstream.api_key is not None:
        return "[upstream.api_key]"
    if upstream.service_token is not None:
        return "[upstream.service_token]"
    return None if upstream.username is None else "[upstream.username] and [upstream.password]"


def connect(upstream: UpstreamConfig, timeout: float) -> AsyncElasticsearch:
    """A client that speaks to every version, and repeats no call by itself."""
    urls = map(URL, upstream.urls)
    options: dict[str, Any] = {}
    if upstream.api_key is not None:
        options["api_key"] = upstream.api_key
    elif upstream.service_token is not None:
        options["bearer_auth"] = upstream.service_token
    elif upstream.username is not None:
        options["basic_auth"] = (upstream.username, upstream.password or "")
    if (context := upstream_tls(upstream)) is not None:
        options["ssl_context"] = context
    return AsyncElasticsearch(
        [f"{url.scheme}://{url.host_subcomponent}:{url.port}" for url in urls],
        transport_class=PlainTransport,
        node_class=LimitedNode,
        request_timeout=timeout,
        max_retries=0,
        **options,
    )
