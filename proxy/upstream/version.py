"""Which release of Elasticsearch the upstream is, as far as it tells."""

from __future__ import annotations

from base64 import b64encode
from typing import Any, Final

import orjson
from aiohttp import hdrs
from multidict import CIMultiDict

from proxy.config import UpstreamConfig
from proxy.ground.errors import UpstreamError
from proxy.upstream.session import Question, UpstreamSession

_LIMIT: Final = 65536  # bytes of an answer
# The second is for distributions without the first; both need the cluster privilege `monitor`.
VERSION_TARGETS: Final = ("/", "/_nodes/_local?filter_path=nodes.*.version")


async def upstream_version(session: UpstreamSession, upstream: UpstreamConfig) -> str | None:
    """The version, asked for with the proxy's own credentials; None if it is not told."""
    headers = CIMultiDict({hdrs.ACCEPT: "application/json"})
    if upstream.host is not None:
        headers[hdrs.HOST] = upstream.host
    if (credentials := own_credentials(upstream)) is not None:
        headers[hdrs.AUTHORIZATION] = credentials
    for target in VERSION_TARGETS:
        question = Question(
            method=hdrs.METH_GET,
            target=target,
            headers=headers,
            time_limit=upstream.check_timeout,
        )
        try:
            answer = await session.fetch(question, _LIMIT)
        except UpstreamError:
            return None
        if answer.status == 200 and (found := version_in(answer.body)) is not None:
            return found
    return None


def own_credentials(upstream: UpstreamConfig) -> str | None:
    """The proxy's own `Authorization` header."""
    if upstream.api_key is not None:
        return f"ApiKey {upstream.api_key}"
    if upstream.service_token is not None:
        return f"Bearer {upstream.service_token}"
    if upstream.username is None:
        return None
    pair = f"{upstream.username}:{upstream.password or ''}"
    return f"Basic {b64encode(pair.encode()).decode()}"


def version_in(text: bytes | None) -> str | None:
    """The version in an answer to one of VERSION_TARGETS; None if it has none."""
    try:
        found: Any = orjson.loads(text or b"")
    except orjson.JSONDecodeError:
        return None
    match found:
        case {"version": {"number": str(number)}}:
            return number
        case {"nodes": {**nodes}}:
            versions = {node.get("version") for node in nodes.values() if isinstance(node, dict)}
            return next((one for one in versions if isinstance(one, str)), None)
    return None
