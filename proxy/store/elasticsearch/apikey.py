"""Makes the API key with which the proxy reaches its index, and learns Elasticsearch's version."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from elastic_transport import TransportError
from elasticsearch import ApiError, AsyncElasticsearch, UnsupportedProductError

from proxy.config import UpstreamConfig
from proxy.ground.errors import StoreError
from proxy.ground.tlsfailures import Remedies, TlsProbe, tls_problem
from proxy.store.elasticsearch.answers import type_of
from proxy.store.elasticsearch.connection import connect
from proxy.store.elasticsearch.failures import PRIVILEGES
from proxy.store.elasticsearch.transport import JSON, cause_of

NAME: Final = "hugging-face-proxy"
VERSION: Final = "cluster:monitor/main"  # the action that tells it, and nothing else
TIMEOUT: Final = 30.0  # seconds; the first key makes Elasticsearch create an index
_FLAGS: Final = Remedies(
    url="--upstream",
    ca_file="--ca (config/certs/http_ca.crt of a new Elasticsearch)",
    certificate="[upstream.certificate]",
)
_HEADERS: Final = {"accept": JSON, "content-type": JSON}
_SECURITY_OFF: Final = (400, 405)  # there is no such handler, in 7 to 8 and in 9


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key in its encoded form, and the id by which Elasticsearch lists it."""

    id: str
    encoded: str
    tells_version: bool  # whether it may ask for Elasticsearch's version


@dataclass(frozen=True, slots=True)
class Rights:
    """What a key may beside what the store needs."""

    cluster: Sequence[str] = ()
    indices: Sequence[Mapping[str, Any]] = ()  # as roles have them


async def make_api_key(upstream: UpstreamConfig, index: str, more: Rights = Rights()) -> ApiKey:
    """A new key with PRIVILEGES on `index`, VERSION if its maker has that, and `more`.

    The user of `upstream` makes it.
    Raises: StoreError naming what hinders it; ConfigError for files that cannot be used.
    """
    rights = Rights(more.cluster, [{"names": [index], "privileges": PRIVILEGES}, *more.indices])
    try:
        async with connect(upstream, TIMEOUT) as client:
            # A key has no right that its maker lacks, and Elasticsearch says nothing of it.
            tells_version = await _check_rights(client, upstream, rights)
            return await _make(client, upstream, rights, tells_version)
    except UnsupportedProductError:
        raise StoreError(f"[{upstream.url}] is no Elasticsearch") from None
    except ApiError as error:
        raise _refused(upstream, error) from None
    except TransportError as error:
        raise await _not_reached(upstream.urls[0], error) from None


async def _check_rights(
    client: AsyncElasticsearch, upstream: UpstreamConfig, rights: Rights
) -> bool:
    """Whether the user has VERSION. Raises: StoreError if it lacks what the key needs."""
    asked = {"cluster": [VERSION, *rights.cluster], "index": rights.indices}
    try:
        answer = await _post(client, "/_security/user/_has_privileges", asked)
    except ApiError as error:
        if error.meta.status in _SECURITY_OFF:
            raise StoreError(
                f"[{upstream.url}] has its security switched off: the proxy needs no API key there"
            ) from None
        raise
    missing = [name for name in rights.cluster if not answer["cluster"][name]]
    lacks = [f"[{', '.join(missing)}] of the cluster"] if missing else []
    for wanted in rights.indices:
        [index] = wanted["names"]
        granted = answer["index"][index]
        if missing := [name for name in wanted["privileges"] if not granted[name]]:
            lacks.append(f"[{', '.join(missing)}] on the index [{index}]")
    if lacks:
        raise StoreError(
            f"The user [{upstream.username}] lacks {' and '.join(lacks)}, and so "
            "would each of its API keys: let a user make the key who has these privileges"
        )
    return answer["cluster"][VERSION] is True


async def _make(
    client: AsyncElasticsearch,
    upstream: UpstreamConfig,
    rights: Rights,
    tells_version: bool,
) -> ApiKey:
    version = [VERSION] if tells_version else []
    role = {"cluster": [*version, *rights.cluster], "indices": rights.indices}
    body = {"name": NAME, "role_descriptors": {"endpoint-store": role}}
    try:
        made = await _post(client, "/_security/api_key", body)
    except ApiError as error:
        if error.meta.status == 403:
            raise StoreError(
                f"The user [{upstream.username}] may not make API keys: it needs the cluster "
                "privilege [manage_own_api_key]"
            ) from None
        if "api keys are not enabled" in str(error.body):
            raise StoreError(
                f"[{upstream.url}] has API keys switched off: set "
                "[xpack.security.authc.api_key.enabled] there, or give the proxy a user "
                "([upstream.username])"
            ) from None
        raise
    pair = f"{made['id']}:{made['api_key']}"
    encoded = base64.b64encode(pair.encode()).decode()
    return ApiKey(id=made["id"], encoded=encoded, tells_version=tells_version)


async def _post(client: AsyncElasticsearch, path: str, body: Any) -> Any:
    return (await client.perform_request("POST", path, headers=_HEADERS, body=body)).body


def _refused(upstream: UpstreamConfig, error: ApiError) -> StoreError:
    status = error.meta.status
    if status == 401:
        return StoreError(
            f"[{upstream.url}] does not know the user [{upstream.username}] with this password"
        )
    return StoreError(f"[{upstream.url}] answered {status} {type_of(error)}")


async def _not_reached(url: str, error: TransportError) -> StoreError:
    """What is wrong with the connection, and what mends it."""
    cause = cause_of(error)
    problem = tls_problem(cause, _FLAGS)
    if problem is None and await TlsProbe(url).speaks_tls():
        problem = "it speaks TLS: use https:// in --upstream"
    if problem is None:
        inner = getattr(cause, "os_error", cause)
        problem = getattr(inner, "strerror", None) or f"no answer ({type(error).__name__})"
    return StoreError(f"Cannot reach [{url}]: {problem}")
