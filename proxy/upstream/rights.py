"""The privileges that the proxy's own credentials need, beside those of its store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp import hdrs
from multidict import CIMultiDict

from proxy.config import UpstreamConfig
from proxy.ground.errors import UpstreamError, UpstreamTimedOut, UpstreamUnavailable
from proxy.upstream.nodes import UNAVAILABLE
from proxy.upstream.security import HAS_PRIVILEGES, Security
from proxy.upstream.session import Question, UpstreamSession
from proxy.upstream.version import own_credentials


@dataclass(frozen=True, slots=True)
class Right:
    """A privilege, or the action that Elasticsearch runs, and what it is needed for."""

    name: str
    use: str


NOT_OFFERED: Final = (
    "fields of type [semantic_text] are not offered, as the proxy's own credentials lack privileges"
)
_JSON: Final = "application/json"
_LIMIT: Final = 65536  # bytes of an answer

# Of the semantic layer: to see mappings, aliases and templates, and no document.
CLUSTER: Final = (
    Right("monitor", "to notice that mappings and aliases have changed"),
    Right("indices:admin/index_template/get", "to see the fields of index templates"),
    Right("indices:admin/index_template/simulate_index", "to see which template an index has"),
    Right("cluster:admin/component_template/get", "to see the fields of component templates"),
    Right("indices:admin/template/get", "to see the fields of legacy templates"),
    Right("read_pipeline", "to see which pipelines use inference endpoints"),
)
INDICES: Final = (
    Right("view_index_metadata", "to see the fields of indices"),
    Right(
        "indices:admin/mapping/put",
        "to map the vectors of fields that were declared before their endpoint existed",
    ),
    Right("indices:admin/refresh", "to refresh indices for callers who write with [refresh]"),
)
ALL_INDICES: Final = "*"


def role() -> tuple[list[str], dict[str, Any]]:
    """Privileges for a role: of the cluster, and on all indices."""
    return (
        [right.name for right in CLUSTER],
        {"names": [ALL_INDICES], "privileges": [right.name for right in INDICES]},
    )


def question() -> dict[str, Any]:
    """The body of `_has_privileges` that asks for all of them."""
    cluster, indices = role()
    return {"cluster": cluster, "index": [indices]}


def lacking(answer: Mapping[str, Any]) -> Iterator[Right]:
    """Those that the answer to `question` denies."""
    cluster, indices = answer.get("cluster", {}), answer.get("index", {}).get(ALL_INDICES, {})
    yield from (right for right in CLUSTER if cluster.get(right.name) is not True)
    yield from (right for right in INDICES if indices.get(right.name) is not True)


async def may_see(
    security: Security, session: UpstreamSession, upstream: UpstreamConfig
) -> bool | None:
    """Whether the proxy has all these privileges; None where the upstream is away.

    What does not answer as Elasticsearch does grants none.
    """
    try:
        if await security.is_off():
            return True
        lacking = await lacking_rights(session, upstream)
    except (UpstreamUnavailable, UpstreamTimedOut):
        return None
    except UpstreamError:
        return False
    return lacking is not None and not lacking


async def lacking_rights(
    session: UpstreamSession, upstream: UpstreamConfig
) -> Sequence[Right] | None:
    """Those that the proxy's own credentials lack; None where the upstream does not tell.

    Raises: UpstreamError where it cannot be asked.
    """
    headers = CIMultiDict({hdrs.ACCEPT: _JSON, hdrs.CONTENT_TYPE: _JSON})
    if upstream.host is not None:
        headers[hdrs.HOST] = upstream.host
    if (credentials := own_credentials(upstream)) is not None:
        headers[hdrs.AUTHORIZATION] = credentials
    body = orjson.dumps(question())
    asked = Question(
        method=hdrs.METH_POST,
        target=HAS_PRIVILEGES,
        headers=headers,
        body=lambda: body,
        time_limit=upstream.check_timeout,
    )
    answer = await session.fetch(asked, _LIMIT)
    if answer.status in UNAVAILABLE:
        raise UpstreamUnavailable(f"upstream node answered {answer.status}")
    if answer.status in (401, 403):
        return (*CLUSTER, *INDICES)
    try:
        told = orjson.loads(answer.body or b"")
    except orjson.JSONDecodeError:
        return None
    return tuple(lacking(told)) if answer.status == 200 and isinstance(told, dict) else None
