"""What the upstream's answers to the proxy's own questions say, and what they do not.

A failure is never taken for an answer: by it, documents would be written without their vectors.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from proxy.ground.errors import UpstreamUnavailable
from proxy.semantic.ports import UpstreamAnswer

# What Elasticsearch says of roles that it cannot read yet. Source: AuthorizationDenialMessages.
_ROLES_MISSING: Final = b"were not found)"


def is_forbidden(answer: UpstreamAnswer) -> bool:
    """Whether the proxy's own credentials do not suffice for what was asked.

    Raises: UpstreamUnavailable where that may be so only as long as the upstream recovers.
    """
    if answer.status == 403 and _ROLES_MISSING in answer.body:
        raise UpstreamUnavailable("upstream node does not find the roles of the proxy's own user")
    return answer.status == 403


def document_of(answer: UpstreamAnswer) -> dict[str, Any]:
    """The document that was asked for. Raises: UpstreamUnavailable for any other answer."""
    try:
        document: Any = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        document = None
    if answer.status != 200 or not isinstance(document, dict):
        raise UpstreamUnavailable(
            f"upstream node answered {answer.status} to a question of the proxy"
        )
    return document
